"""The best spans are those of brute force, and always slices of the paragraph."""

import math
import random
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clozekit.data.batch import Window
from clozekit.data.labelled.paragraphs import Question
from clozekit.tasks.answering import AnsweringModule
from clozekit.tasks.question_answering import QuestionAnsweringModule
from clozekit.tasks.question_answering_bio import QuestionAnsweringBIOModule
from clozekit.tasks.spans import Candidate, best_by_ends, best_by_tags, merged
from tests.data.labelled.labelled_rows import drawn, make_features, whole_batch
from tests.data.spelling import spelling_tokenizer
from tests.tasks.models import small_encoder, training_arguments

with_few_examples = settings(deadline=None, max_examples=60)
lengths = st.integers(0, 9)
seeds = st.integers(0, 2**32 - 1)
n_bests = st.integers(1, 60)
max_lengths = st.integers(1, 11)


def window_of(length: int, example: int = 0, first: int = 0) -> Window:
    """Tokens of three characters each with a blank between, from the text's token `first` on."""
    begins = 4 * (first + np.arange(length))
    return Window(example, 1, np.stack([begins, begins + 3], axis=1))


def drawn_logits(*shape: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def allowed(length: int, max_answer_length: int) -> list[tuple[int, int]]:
    return [
        (first, last)
        for first, last in product(range(length), repeat=2)
        if first <= last < first + max_answer_length
    ]


def assert_best(
    found: list[Candidate], scores: dict[tuple[int, int], float], window: Window, n_best: int
) -> None:
    ranked = sorted(scores, key=lambda span: -scores[span])[:n_best]
    assert [(c.start, c.end) for c in found] == [
        (window.offsets[first, 0], window.offsets[last, 1]) for first, last in ranked
    ]
    assert [c.score for c in found] == pytest.approx([scores[span] for span in ranked])


@with_few_examples
@given(lengths, n_bests, max_lengths, seeds)
def test_spans_by_ends_are_those_with_the_largest_sums(
    length: int, n_best: int, max_answer_length: int, seed: int
) -> None:
    starts, ends = drawn_logits(2, length, seed=seed)
    window = window_of(length, first=3)
    found = best_by_ends(starts, ends, window, n_best, max_answer_length)
    scores = {
        (first, last): float(starts[first] + ends[last])
        for first, last in allowed(length, max_answer_length)
    }
    assert_best(found, scores, window, n_best)


@with_few_examples
@given(lengths, n_bests, max_lengths, seeds)
def test_spans_by_tags_are_those_of_the_likeliest_tags_as_wholes(
    length: int, n_best: int, max_answer_length: int, seed: int
) -> None:
    logits = 3 * drawn_logits(length, 3, seed=seed)
    window = window_of(length)
    found = best_by_tags(logits, window, n_best, max_answer_length)
    logs = logits.log_softmax(dim=-1).tolist()

    def log_probability(tags: str) -> float:
        return sum(logs[place]["OBI".index(tag)] for place, tag in enumerate(tags))

    nothing = log_probability("O" * length)
    scores = {}
    for first, last in allowed(length, max_answer_length):
        tags = "O" * first + "B" + "I" * (last - first) + "O" * (length - last - 1)
        scores[first, last] = log_probability(tags) - nothing
    assert_best(found, scores, window, n_best)


@with_few_examples
@given(
    st.lists(st.tuples(st.integers(0, 2), lengths, st.integers(0, 5)), max_size=5), n_bests, seeds
)
def test_a_paragraphs_windows_are_ranked_together_each_slice_once(
    drawn_windows: list[tuple[int, int, int]], n_best: int, seed: int
) -> None:
    windows = [window_of(length, example, first) for example, length, first in drawn_windows]
    every, scores = [], [dict[tuple[int, int], float]() for _ in range(3)]
    for number, window in enumerate(windows):
        starts, ends = drawn_logits(2, len(window.offsets), seed=seed + number)
        every.append(best_by_ends(starts, ends, window, 100, 4))
        for candidate in every[-1]:
            known, place = scores[window.example], (candidate.start, candidate.end)
            known[place] = max(known.get(place, -math.inf), candidate.score)
    ranked = merged(every, windows, 3, n_best)
    for found, known in zip(ranked, scores, strict=True):
        expected = sorted(known, key=lambda place: -known[place])[:n_best]
        assert [(c.start, c.end) for c in found] == expected
        assert [c.score for c in found] == [known[place] for place in expected]


def module_of(task: str, **changes: Any) -> AnsweringModule[Any]:
    torch.manual_seed(3)
    kind = QuestionAnsweringModule if task == "question_answering" else QuestionAnsweringBIOModule
    encoder = small_encoder(spelling_tokenizer().get_vocab_size())
    module = kind(encoder, **training_arguments(**changes))
    # Untrained as it is, its scores should differ.
    for parameter in module.model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return module.eval()


both = pytest.mark.parametrize("task", ["question_answering", "question_answering_bio"])


@both
@torch.no_grad()
def test_answers_of_an_untrained_model_are_slices_of_the_paragraph(task: str) -> None:
    draw = random.Random(0)
    pieces = ["Café", "naïve", "cafe\u0301", "北京", "(1999)", "horse", "\u200b", "U.S.", "—"]
    contexts = [" ".join(draw.choices(pieces, k=draw.randint(0, 40))) for _ in range(30)]
    features = make_features(task)
    rows = [{"question": "the cow", "context": context} for context in [*contexts, ""]]
    examples = [features.example(row, i, is_labelled=False) for i, row in enumerate(rows)]
    batch = whole_batch(features.encode(examples, is_labelled=False))  # type: ignore[arg-type]
    assert batch.batch_size > len(rows)
    module = module_of(task, max_answer_length=4)
    decoded = module.decode(module(batch), batch)
    answers = set()
    for prediction, row in zip(decoded, rows, strict=True):
        context = row["context"]
        tokens = spelling_tokenizer().encode(context, add_special_tokens=False).ids
        if not tokens:
            assert prediction["answer"] == "" and prediction["candidates"] == []
            assert prediction["start"] is prediction["end"] is None
            continue
        assert prediction["answer"] == context[prediction["start"] : prediction["end"]] != ""
        best = prediction["candidates"][0]
        assert (best["text"], best["start"]) == (prediction["answer"], prediction["start"])
        probabilities = [candidate["probability"] for candidate in prediction["candidates"]]
        assert probabilities == sorted(probabilities, reverse=True) and sum(probabilities) <= 1
        for candidate in prediction["candidates"]:
            text = context[candidate["start"] : candidate["end"]]
            assert candidate["text"] == text
            assert len(spelling_tokenizer().encode(text, add_special_tokens=False).ids) <= 4
        assert "no_answer_score" not in prediction
        answers.add(prediction["answer"])
    assert len(answers) > 5


@both
@torch.no_grad()
def test_the_score_of_no_answer_is_that_over_all_windows(task: str) -> None:
    rows = drawn(task, 12)
    batch = whole_batch(rows)
    assert batch.batch_size > 12
    module = module_of(task, has_unanswerable=True)
    logits = module(batch)
    begins = batch.packing.cu_seqlens.tolist()
    scores: list[list[float]] = [[] for _ in rows.examples]
    nulls: list[list[float]] = [[] for _ in rows.examples]
    place = 0
    for sequence, window in enumerate(batch.windows):
        number = len(window.offsets)
        if task == "question_answering":
            first = begins[sequence] + window.begin
            of_window = logits[first : first + number]
            found = best_by_ends(*of_window.unbind(dim=-1), window, 1, module.max_answer_length)
            nulls[window.example].append(float(logits[begins[sequence]].sum()))
        else:
            found = best_by_tags(logits[place : place + number], window, 1, 30)
            nulls[window.example].append(0.0)
        place += number
        scores[window.example].append(found[0].score)
    expected = [min(null) - max(score) for null, score in zip(nulls, scores, strict=True)]
    decoded = module.decode(logits, batch)
    assert [p["no_answer_score"] for p in decoded] == pytest.approx(expected, abs=1e-5)


@both
@torch.no_grad()
def test_no_answer_is_given_where_its_score_exceeds_the_threshold(task: str) -> None:
    batch = whole_batch(drawn(task, 12))
    module = module_of(task, has_unanswerable=True)
    logits = module(batch)
    scores = [prediction["no_answer_score"] for prediction in module.decode(logits, batch)]
    module.no_answer_threshold = sorted(scores)[5]
    for prediction in module.decode(logits, batch):
        is_none = prediction["no_answer_score"] > module.no_answer_threshold
        assert (prediction["answer"] == "") == is_none
        assert (prediction["start"] is None) == (prediction["end"] is None) == is_none
        assert prediction["candidates"]
    module.has_unanswerable, module.no_answer_threshold = False, -1e9
    for prediction in module.decode(logits, batch):
        assert prediction["answer"] != ""


def test_a_candidates_text_is_its_slice() -> None:
    question = Question(0, "Who?", "the café feeds", ("café",), (4,))
    assert Candidate(0.0, 4, 8).text(question) == "café"
