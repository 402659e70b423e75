"""SQuAD's scores are those of the official scripts, on any number of processes."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.text import squad as torchmetrics_squad

from clozekit.metrics.squad_metric import (
    SquadMetric,
    exact_match,
    f1,
    final_answer,
    find_best,
    normalize_answer,
    score_answer,
)
from tests.metrics import processes
from tests.programs.commands import child_environment

Question = tuple[str, list[str], float]

words = st.sampled_from(["the", "a", "An", "cat", "CAT", "cats", "it's", "--", ".", "1,000", "thé"])
spaces = st.sampled_from([" ", "  ", "\t", "\n", "\u00a0", "-", ""])
texts = st.lists(st.tuples(words, spaces), max_size=4).map(
    lambda pairs: "".join(word + space for word, space in pairs)
)
gold_answers = st.lists(texts, max_size=3).map(
    # torchmetrics keeps gold answers without words, as SQuAD 1.1 does.
    lambda golds: [gold for gold in golds if normalize_answer(gold)]
)
# Few values, so that ties are common.
no_answer_scores = st.sampled_from([-math.inf, -1.5, -1.0, 0.0, 0.25, 1.0]) | st.floats(-2, 2)
questions_of_any_kind = st.lists(
    st.tuples(texts, gold_answers, no_answer_scores), min_size=1, max_size=8
)


def computed(questions: list[Question], threshold: float = 0.0) -> dict[str, float]:
    metric = SquadMetric(threshold)
    answers, golds, no_answer = zip(*questions, strict=True)
    metric.update(answers, golds, no_answer)
    return {name: value.item() for name, value in metric.compute().items()}


def by_torchmetrics(answers: list[str], golds: list[list[str]]) -> tuple[float, float]:
    """Exact match and F1 in percent, by another implementation of SQuAD 1.1.

    Where the gold answer is "", it follows SQuAD 2.0.
    """
    predictions = [
        {"prediction_text": answer, "id": str(index)} for index, answer in enumerate(answers)
    ]
    targets = [
        {"answers": {"answer_start": [0], "text": texts or [""]}, "id": str(index)}
        for index, texts in enumerate(golds)
    ]
    values = torchmetrics_squad(predictions, targets)
    return values["exact_match"].item(), values["f1"].item()


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("The  Cat's\tA-team, an\n owl!", "cats ateam owl"),
        ("theatre an-other banana", "theatre another banana"),
        ("the.", ""),
        ("  ", ""),
        ("A.B. (the) U.S.", "ab us"),
        # Punctuation goes before articles do: a hyphen joins, and what it joined is a word.
        ("a-n apple", "apple"),
        # Only the punctuation of ASCII goes.
        ("“Él” — ÉCOLE\u00a0 №5…", "“él” — école №5…"),
        ("the théâtre of à", "théâtre of à"),
        ("STRASSE straße", "strasse straße"),
    ],
)
def test_answers_are_normalized(text: str, normalized: str) -> None:
    assert normalize_answer(text) == normalized


@pytest.mark.parametrize(
    ("answer", "golds", "exact", "overlap"),
    [
        ("The Cat.", ["cat"], 1, 1),
        ("black cat", ["cat", "a black dog", "white mouse"], 0, 2 / 3),
        ("cat cat", ["cat"], 0, 2 / 3),
        ("cat cat dog", ["cat cat mouse"], 0, 2 / 3),
        ("dog", ["cat", "dog"], 1, 1),
        ("naïve", ["naive"], 0, 0),
        ("", [], 1, 1),
        ("", ["", "the"], 1, 1),
        ("...", [], 1, 1),
        ("cat", [], 0, 0),
        ("", ["cat"], 0, 0),
        ("the", ["cat"], 0, 0),
        # A gold answer without words is none, and does not excuse an empty answer.
        ("", ["the", "cat"], 0, 0),
        ("cat", ["the", "cat"], 1, 1),
    ],
)
def test_hard_cases(answer: str, golds: list[str], exact: float, overlap: float) -> None:
    assert exact_match(answer, golds) == exact
    assert f1(answer, golds) == pytest.approx(overlap)


@settings(max_examples=80, deadline=None)
@given(texts, gold_answers)
def test_answers_are_scored_as_by_torchmetrics(answer: str, golds: list[str]) -> None:
    exact, overlap = by_torchmetrics([answer], [golds])
    assert 100 * exact_match(answer, golds) == exact
    assert 100 * f1(answer, golds) == pytest.approx(overlap, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(texts, gold_answers.filter(bool)), min_size=1, max_size=6))
def test_without_unanswerable_questions_it_is_squad_1(pairs: list[tuple[str, list[str]]]) -> None:
    results = computed([(answer, golds, -1.0) for answer, golds in pairs])
    exact, overlap = by_torchmetrics([a for a, _ in pairs], [golds for _, golds in pairs])
    assert results == {
        "exact_match": pytest.approx(exact, rel=1e-6),
        "f1": pytest.approx(overlap, rel=1e-6),
    }


@settings(max_examples=60, deadline=None)
@given(questions_of_any_kind, no_answer_scores)
def test_the_metric_scores_final_answers(questions: list[Question], threshold: float) -> None:
    results = computed(questions, threshold)
    final = [final_answer(answer, score, threshold) for answer, _, score in questions]
    golds = [golds for _, golds, _ in questions]
    having = [index for index, texts in enumerate(golds) if texts]
    lacking = [index for index, texts in enumerate(golds) if not texts]

    def over(chosen: list[int]) -> tuple[float, float]:
        values = by_torchmetrics([final[i] for i in chosen], [golds[i] for i in chosen])
        return pytest.approx(values[0], rel=1e-6), pytest.approx(values[1], rel=1e-6)

    assert (results["exact_match"], results["f1"]) == over([*range(len(questions))])
    assert ("best_f1" in results) == bool(lacking)
    assert ("has_answer_f1" in results) == bool(lacking and having)
    if lacking:
        assert results["no_answer_accuracy"] == over(lacking)[0]
    if lacking and having:
        assert (results["has_answer_exact_match"], results["has_answer_f1"]) == over(having)


def test_a_gold_answer_of_an_article_alone_is_an_answer() -> None:
    """As `make_qid_to_has_ans` of the 2.0 script: what counts is that there are answers."""
    assert computed([("A", ["A"], -1.0), ("film", ["film"], -1.0)]) == {
        "exact_match": 100.0,
        "f1": 100.0,
    }
    results = computed([("A", ["A"], 1.0), ("film", ["film"], -1.0), ("film", [], 1.0)])
    assert results["has_answer_exact_match"] == 50.0
    assert results["no_answer_accuracy"] == 100.0


@settings(max_examples=100, deadline=None)
@given(questions_of_any_kind)
def test_the_best_threshold_is_the_best_number_of_answers(questions: list[Question]) -> None:
    """The official script gives 0, 1, 2, … answers, the surest first, in the order given."""
    order = sorted(range(len(questions)), key=lambda index: questions[index][2])
    # With answers that have words, so that empty and wordless answers need no rule of their own.
    named = [(answer + "x", golds, score) for answer, golds, score in questions]
    scores = [score_answer(*question) for question in named]

    def value(answered: int) -> float:
        given_answers = set(order[:answered])
        return sum(
            f1(answer if index in given_answers else "", golds)
            for index, (answer, golds, _) in enumerate(named)
        )

    values = [value(answered) for answered in range(len(questions) + 1)]
    best = find_best([score.f1 for score in scores], scores)
    assert best.value == pytest.approx(100 * max(values) / len(questions))
    reached = [k for k, v in enumerate(values) if v == pytest.approx(max(values))]
    thresholds = [questions[order[k - 1]][2] if k else 0.0 for k in reached]
    assert best.threshold in thresholds


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(texts, gold_answers), min_size=1, max_size=8))
def test_without_ties_the_best_threshold_keeps_its_word(
    pairs: list[tuple[str, list[str]]],
) -> None:
    questions = [(answer, golds, index - 3.5) for index, (answer, golds) in enumerate(pairs)]
    results = computed(questions)
    for name in ("exact_match", "f1"):
        if f"best_{name}" not in results:
            continue
        best, threshold = results[f"best_{name}"], results[f"best_{name}_threshold"]
        if threshold == 0.0:
            threshold = -math.inf  # nothing is better than no answer anywhere
        reached = computed(questions, threshold)[name]
        # Where there is no gold answer, one without words, such as "the", is as right as none;
        # the official search counts it as wrong.
        wordless = any(answer and not normalize_answer(answer) for answer, _ in pairs)
        assert reached == pytest.approx(best) or (wordless and reached > best)


def test_a_small_set_by_hand() -> None:
    questions: list[Question] = [
        ("Paris", ["Paris"], -3.0),  # sure and right
        ("in 1999", ["1999"], -1.0),  # half right: F1 2/3
        ("nobody", [], -0.5),  # should have been left out
        ("red house", ["the red house"], 2.0),  # right, but left out
        ("blue", [], 3.0),  # rightly left out
    ]
    assert computed(questions) == pytest.approx(
        {
            "exact_match": 40.0,
            "f1": 100 * (1 + 2 / 3 + 1) / 5,
            "has_answer_exact_match": 100 / 3,
            "has_answer_f1": 100 * (1 + 2 / 3) / 3,
            "no_answer_accuracy": 50.0,
            "best_exact_match": 60.0,
            "best_exact_match_threshold": -3.0,
            "best_f1": 100 * (1 + 2 / 3 + 2) / 5,
            "best_f1_threshold": -1.0,
        }
    )


def test_the_threshold_itself_is_still_an_answer() -> None:
    assert final_answer("cat", 0.5, 0.5) == "cat"
    assert final_answer("cat", 0.50001, 0.5) == ""
    questions: list[Question] = [("cat", ["cat"], 0.5), ("dog", [], 0.7)]
    assert computed(questions, 0.5)["exact_match"] == 100


def test_where_nothing_beats_no_answer_the_threshold_is_zero() -> None:
    results = computed([("cat", ["dog"], -2.0), ("dog", [], -1.0)])
    assert (results["best_f1"], results["best_f1_threshold"]) == (50.0, 0.0)


def test_ties_are_broken_by_the_order_given() -> None:
    right: Question = ("cat", ["cat"], 1.0)
    wrong: Question = ("dog", [], 1.0)
    assert computed([right, wrong])["best_exact_match"] == 100
    assert computed([wrong, right])["best_exact_match"] == 50


def test_only_unanswerable_questions() -> None:
    results = computed([("cat", [], -1.0), ("", [], -1.0), ("dog", [], 1.0)])
    assert results["no_answer_accuracy"] == pytest.approx(200 / 3) == results["f1"]
    assert not any(name.startswith("has_answer") for name in results)
    assert results["best_f1"] == 100


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_updates_add_up_and_reset_forgets() -> None:
    whole = computed(processes.QUESTIONS)
    metric = processes.squad(processes.QUESTIONS)
    assert {name: value.item() for name, value in metric.compute().items()} == whole
    metric.reset()
    metric.update([], [], [])
    assert math.isnan(metric.compute()["f1"])
    metric.reset()
    assert all(math.isnan(value) for value in metric.compute().values())


def test_lists_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        SquadMetric().update(["a", "b"], [["a"], ["b"]], [0.0])


def test_forward_gives_the_batch_and_keeps_the_whole() -> None:
    metric = SquadMetric()
    first = metric(["cat"], [["cat"]], [-1.0])
    second = metric(["cat"], [["dog"]], [-1.0])
    assert (first["f1"], second["f1"], metric.compute()["f1"]) == (100, 0, 50)


def test_merged_states_equal_one_over_all() -> None:
    first, second = processes.squad(processes.QUESTIONS[:2]), processes.squad([])
    second.merge_state(processes.squad(processes.QUESTIONS[2:]))
    first.merge_state(second)
    whole = processes.squad(processes.QUESTIONS).compute()
    for name, value in first.compute().items():
        assert value.item() == pytest.approx(whole[name].item())


def test_half_precision_of_a_module_does_not_round_the_scores() -> None:
    metric = SquadMetric().to(torch.float16)
    metric.update(["cat"], [["cat"]], [1.0 / 3.0])
    metric.update(["dog"], [[]], [1.0])
    assert metric.compute()["best_f1_threshold"].item() == 1.0 / 3.0


def test_processes_agree_and_one_may_have_no_data(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "tests.metrics.processes", str(tmp_path)],
        cwd=Path(__file__).resolve().parents[2],
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    alone = processes.results(
        processes.squad(processes.QUESTIONS),
        processes.entity_f1(processes.SENTENCES),
        processes.embeddings(processes.PAIRS),
    )
    for rank in range(processes.WORLD_SIZE):
        results = json.loads((tmp_path / f"{rank}.json").read_text())
        assert results["squad"] == pytest.approx(alone["squad"])
        assert results["entities"] == alone["entities"]
        assert results["embeddings"] == pytest.approx(alone["embeddings"])
        assert results["per_type"] == alone["per_type"] == results["per_type_again"]
