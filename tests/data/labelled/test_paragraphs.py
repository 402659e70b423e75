"""Answers and their tokens: what a window's two ends, or its tags, say is the answer's text."""

import random
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clozekit.data.batch import ANSWER_TAGS, Window
from clozekit.data.labelled.paragraphs import Question, QuestionFeatures
from clozekit.data.labelled.question_answering import (
    QuestionAnsweringFeatures,
)
from clozekit.data.labelled.question_answering_bio import QuestionAnsweringBIOFeatures
from tests.data.labelled.labelled_rows import encoded, whole_batch
from tests.data.labelled.paragraph_rows import row
from tests.data.spelling import special_tokens, spelling_tokenizer
from tests.kinds_of_tokenizers import KINDS, tokenizer_of

# Accents whole and as marks, case, Chinese, punctuation, and signs that leave no token.
PIECES = [
    *("Café", "cafe\u0301", "naïve", "Éß", "b\u0301\u0302c", "北京大学", "the", "Playing"),
    *("(1999)", "U.S.", "don't", "—", "…", "\u200b", "x\u200by", "\u00a0", "a" * 110, "[SEP]"),
]


# Long paragraphs too, of which hypothesis would draw few.
paragraphs = st.tuples(st.sampled_from([" ", ""]), st.integers(1, 30)).flatmap(
    lambda drawn: st.lists(st.sampled_from(PIECES), min_size=drawn[1], max_size=drawn[1]).map(
        drawn[0].join
    )
)

tokenizers = st.sampled_from([True, False]).map(spelling_tokenizer)

kinds = st.sampled_from([QuestionAnsweringFeatures, QuestionAnsweringBIOFeatures])

Features = QuestionFeatures[Any]


def aligned_answer(features: Features, context: str, draw: random.Random) -> tuple[str, int] | None:
    """An answer that begins where a token does and ends where one does."""
    rows = features.encode([Question(0, "", context, (), ())], is_labelled=True)
    places = np.unique(np.concatenate(rows.offsets), axis=0)
    if not len(places):
        return None
    first, last = sorted(draw.choices(range(len(places)), k=2))
    begin, end = int(places[first, 0]), int(places[min(last, first + 7), 1])
    return context[begin:end], begin


def slice_of(rows: Any, sequence: int) -> str:
    """What a window's ends cut out of its paragraph."""
    places = rows.offsets[sequence]
    context: str = rows.examples[rows.owners[sequence]].context
    return context[places[rows.starts[sequence], 0] : places[rows.ends[sequence], 1]]


@settings(deadline=None, max_examples=100)
@given(
    paragraphs, tokenizers, kinds, st.integers(12, 30), st.integers(1, 30), st.integers(0, 2**32)
)
def test_the_ends_give_back_every_answer_that_is_aligned_with_tokens(
    context: str, tokenizer: Any, kind: Any, max_seq_length: int, doc_stride: int, seed: int
) -> None:
    features = kind(tokenizer, max_seq_length=max_seq_length, doc_stride=doc_stride)
    found = aligned_answer(features, context, random.Random(seed))
    rows = encoded(features, [row(context, *(found or ()))])
    whole = 0
    for sequence, places in enumerate(rows.offsets):
        if rows.starts[sequence] < 0:
            assert rows.ends[sequence] < 0
            # The window ends before the answer does, or begins after it does.
            if found is not None and len(places):
                answer, begin = found
                assert places[0, 0] > begin or places[-1, 1] < begin + len(answer)
        else:
            assert found is not None
            assert slice_of(rows, sequence) == found[0]
            whole += 1
    # An answer of no more tokens than two windows share is whole in one of them.
    size = max_seq_length - 3 - 2
    if found is not None and size - min(doc_stride, size) >= 8:
        assert whole
    assert rows.sequences.lengths.max() <= max_seq_length


@settings(deadline=None, max_examples=100)
@given(paragraphs, tokenizers, st.integers(12, 30), st.integers(1, 30), st.integers(0, 2**32))
def test_tags_and_ends_say_the_same(
    context: str, tokenizer: Any, max_seq_length: int, doc_stride: int, seed: int
) -> None:
    both = [
        kind(tokenizer, max_seq_length=max_seq_length, doc_stride=doc_stride)
        for kind in (QuestionAnsweringFeatures, QuestionAnsweringBIOFeatures)
    ]
    found = aligned_answer(both[0], context, random.Random(seed))
    ends, tags = (
        whole_batch(encoded(features, [row(context, *(found or ()))])) for features in both
    )
    assert ends.input_ids.tolist() == tags.input_ids.tolist()
    labels = iter(tags.labels.tolist())
    positions = iter(tags.positions.tolist())
    begins = tags.packing.cu_seqlens.tolist()
    for sequence, window in enumerate(tags.windows):
        expected = ["O"] * len(window.offsets)
        start, end = int(ends.start_positions[sequence]), int(ends.end_positions[sequence])
        if start:
            first, last = start - window.begin, end - window.begin
            expected[first : last + 1] = ["B", *"I" * (last - first)]
        assert [ANSWER_TAGS[next(labels)] for _ in expected] == expected
        first_token = begins[sequence] + window.begin
        assert [next(positions) for _ in expected] == [
            first_token + place for place in range(len(expected))
        ]
    assert next(labels, None) is next(positions, None) is None


def test_a_window_knows_where_its_tokens_lie_in_the_text() -> None:
    features = QuestionAnsweringFeatures(spelling_tokenizer(), max_seq_length=16, doc_stride=5)
    context = "The Café feeds 北京 and an old horse, cow, and field."
    batch = whole_batch(encoded(features, [row(context, "Café", 4), row("the cow", "cow", 4)]))
    ids = batch.input_ids.split(batch.packing.cu_seqlens.diff().tolist())
    assert [window.example for window in batch.windows] == [0] * (len(ids) - 1) + [1]
    for sequence, window in zip(ids, batch.windows, strict=True):
        question = context if window.example == 0 else "the cow"
        number = len(window.offsets)
        assert window.begin == 4  # [CLS] the cow [SEP]
        assert sequence[window.begin + number :].tolist() == [special_tokens().sep]
        for token, (begin, end) in zip(
            sequence[window.begin :].tolist(), window.offsets.tolist(), strict=False
        ):
            text = spelling_tokenizer().id_to_token(token).removeprefix("##")
            spelt = question[begin:end].lower().replace("é", "e")
            assert spelt == text
    firsts = [window.offsets[0, 0] for window in batch.windows if window.example == 0]
    assert all(a < b for a, b in pairwise(firsts))


def test_marks_that_the_tokenizer_takes_away_stay_with_the_answer() -> None:
    features = QuestionAnsweringFeatures(spelling_tokenizer())
    context = "the cafe\u0301 feeds b\u0301\u0302c"
    rows = encoded(features, [row(context, "cafe\u0301", 4), row(context, "b\u0301\u0302", 16)])
    assert [slice_of(rows, sequence) for sequence in range(2)] == ["cafe\u0301", "b\u0301\u0302"]


def test_an_answer_that_ends_inside_a_token_is_a_part_of_what_its_tokens_say() -> None:
    rows = encoded(QuestionAnsweringFeatures(spelling_tokenizer()), [row("the cows", "cow", 4)])
    assert slice_of(rows, 0) == "cow"
    rows = encoded(QuestionAnsweringFeatures(spelling_tokenizer()), [row("the horse", "hors", 4)])
    assert slice_of(rows, 0) == "horse"


def test_windows_without_the_whole_answer_have_none() -> None:
    features = QuestionAnsweringFeatures(spelling_tokenizer(), max_seq_length=12, doc_stride=2)
    context = "the old cow feeds the old horse the old field feeds the cow"
    batch = whole_batch(encoded(features, [row(context, "old horse", 22)]))
    assert batch.batch_size == 4
    kinds = []
    for sequence, window in enumerate(batch.windows):
        text = context[window.offsets[0, 0] : window.offsets[-1, 1]]
        is_whole = "old horse" in text
        assert (int(batch.start_positions[sequence]) > 0) == is_whole
        assert (int(batch.end_positions[sequence]) > 0) == is_whole
        kinds.append(is_whole)
    assert kinds == [True, True, True, False]


def test_a_question_without_an_answer_is_learnt_as_none_and_told_to_the_task() -> None:
    features = QuestionAnsweringFeatures(spelling_tokenizer())
    batch = whole_batch(encoded(features, [row("the cow", "cow", 4), row("the cow")]))
    assert features.task_arguments() == {"has_unanswerable": True}
    assert batch.start_positions.tolist() == batch.end_positions.tolist() == [5, 0]
    encoded(features, [row("the cow", "cow", 4)])
    assert features.task_arguments() == {"has_unanswerable": False}


def test_the_first_answer_is_learnt_and_all_are_kept_to_be_judged_by() -> None:
    answers = {"text": ["cow", "the cow"], "answer_start": [4, 0]}
    rows = encoded(
        QuestionAnsweringFeatures(spelling_tokenizer()), [row("the cow", answers=answers)]
    )
    assert slice_of(rows, 0) == "cow"
    assert rows.examples[0].answers == ("cow", "the cow")


@pytest.mark.parametrize(("max_query_length", "kept"), [(3, 3), (64, 6), (2, 2)])
def test_a_long_question_is_cut_and_counted(max_query_length: int, kept: int) -> None:
    """At 16, room for 13 tokens, no more than half of which are the question's."""
    features = QuestionAnsweringFeatures(
        spelling_tokenizer(), max_seq_length=16, max_query_length=max_query_length
    )
    long = "the old horse feeds the old cow in the field"
    rows = encoded(features, [row("the cow", "cow", 4, question=long), row("the cow", "cow", 4)])
    batch = whole_batch(rows)
    assert rows.num_truncated == 1
    first = batch.input_ids[: batch.packing.cu_seqlens[1]].tolist()
    assert first.index(special_tokens().sep) == 1 + kept
    assert batch.start_positions[0] == 1 + kept + 2


@pytest.mark.parametrize(
    ("context", "sizes"), [("", [0]), ("\u200b", [0]), ("the old horse " * 9, [13, 13, 13, 9])]
)
def test_paragraphs_without_a_token_and_long_ones_can_be_predicted_on(
    context: str, sizes: list[int]
) -> None:
    for kind in (QuestionAnsweringFeatures, QuestionAnsweringBIOFeatures):
        features = kind(spelling_tokenizer(), max_seq_length=16)
        example = features.example({"question": "", "context": context}, 7, is_labelled=False)
        assert example is not None and example.id == 7
        batch = whole_batch(features.encode([example], is_labelled=False))
        assert [len(window.offsets) for window in batch.windows] == sizes


def test_windows_are_named_by_their_rows_place_in_the_batch() -> None:
    features = QuestionAnsweringFeatures(spelling_tokenizer(), max_seq_length=16)
    rows = encoded(features, [row("the old horse " * number) for number in (5, 1, 9)])
    chosen = np.flatnonzero(rows.owners != 0)
    windows: tuple[Window, ...] = rows.windows(chosen)
    assert [window.example for window in windows] == [0] + [1] * (len(windows) - 1)


def test_windows_overlap_whatever_the_stride_so_that_no_short_answer_is_lost() -> None:
    features = QuestionAnsweringFeatures(spelling_tokenizer(), max_seq_length=24, doc_stride=1000)
    context = " ".join(["one", "two", "three", "four"] * 20)
    for begin in range(0, 300, 7):
        start = context.rindex(" ", 0, begin + 1) + 1 if " " in context[: begin + 1] else 0
        answer = context[start:].split()[0]
        example = features.example(row(context, answer, start), 0, True)
        assert example is not None
        rows = features.encode([example], is_labelled=True)
        assert (rows.starts >= 0).any(), start


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(PIECES[:10]), min_size=1, max_size=12), st.randoms())
def test_an_answer_has_its_exact_text_whatever_the_tokenizer(
    kind: str, words: list[str], draw: random.Random
) -> None:
    features = QuestionAnsweringFeatures(tokenizer_of(kind), max_seq_length=512)
    context = " ".join(words)
    number = draw.randrange(len(words))
    begin = len(" ".join(words[:number])) + (number > 0)
    question = Question(0, "Where?", context, (words[number],), (begin,))
    rows = features.encode([question], is_labelled=True)
    places = rows.offsets[0]
    assert not any(context[b].isspace() for b, e in places if b < e)
    start, end = int(rows.starts[0]), int(rows.ends[0])
    found = context[places[start, 0] : places[end, 1]]
    assert words[number] in found
    if kind != "gemma":  # which may have a token of two words' characters
        assert found == words[number]
    assert rows.begins[0] + start < rows.sequences.lengths[0]
