"""Which predictions are wrong, and in which order an evaluation shows them."""

from typing import Any

import pytest

from clozekit.inference.judging import judged
from clozekit.tasks.classification import ClassificationModule
from clozekit.tasks.embedding import EmbeddingModule
from clozekit.tasks.multiple_choice import MultipleChoiceModule
from clozekit.tasks.question_answering import QuestionAnsweringModule
from clozekit.tasks.regression import RegressionModule
from clozekit.tasks.tagging import TaggingModule


def verdicts(kind: type[Any], golds: list[Any], predictions: list[Any]) -> list[tuple[bool, float]]:
    # Only its class counts.
    found = judged(kind.__new__(kind), golds, predictions)
    assert found is not None
    return [(each.is_wrong, pytest.approx(each.weight)) for each in found]


def test_a_class_is_as_sure_as_its_probability() -> None:
    scores = {"a": 0.7, "b": 0.3}
    predictions = [{"label": "a", "scores": scores}] * 2
    assert verdicts(ClassificationModule, ["a", "b"], predictions) == [(False, 0.7), (True, 0.7)]


def test_of_several_labels_the_surest_mistake_counts() -> None:
    prediction = {"labels": ["a", "b"], "scores": {"a": 0.9, "b": 0.6, "c": 0.2}}
    golds = [["a", "b"], ["a"], ["a", "b", "c"], [], ["a", "b", "unknown"]]
    found = verdicts(ClassificationModule, golds, [prediction] * 5)
    assert found == [(False, 0.0), (True, 0.6), (True, 0.8), (True, 0.9), (True, 1.0)]


def test_words_without_a_tag_are_not_judged() -> None:
    prediction = {"tags": ["O", "B-x", "O"], "scores": [0.9, 0.8, 0.7]}
    golds = [["O", "B-x", None], ["B-y", "B-x", "O"], [None, "O", "B-x"]]
    found = verdicts(TaggingModule, golds, [prediction] * 3)
    assert found == [(False, 0.0), (True, 0.9), (True, 0.8)]


def test_answers_are_judged_as_the_metric_does() -> None:
    candidates = [{"probability": 0.6}, {"probability": 0.4}]
    answered = {"answer": "the Horse!", "candidates": candidates}
    none = {"answer": "", "candidates": candidates, "no_answer_score": 0.0}
    golds = [["horse"], ["cow"], [], ["cow"]]
    found = verdicts(QuestionAnsweringModule, golds, [answered, answered, none, none])
    assert found == [(False, 0.6), (True, 0.6), (False, 0.5), (True, 0.5)]
    nothing = {"answer": "", "candidates": [], "no_answer_score": 1e9}
    assert verdicts(QuestionAnsweringModule, [["cow"]], [nothing]) == [(True, 1.0)]


def test_choices_and_scores() -> None:
    choice = {"label": 1, "scores": [0.2, 0.8]}
    assert verdicts(MultipleChoiceModule, [0, 1], [choice, choice]) == [(True, 0.8), (False, 0.8)]
    scores = [{"score": 0.5}, {"score": 3.0}]
    assert verdicts(RegressionModule, [1.0, 1.0], scores) == [(True, 0.5), (True, 2.0)]


def test_similarities_are_compared_by_their_ranks_if_all_have_scores() -> None:
    predictions = [{"similarity": s} for s in (0.1, 0.2, 0.9)]
    scored = verdicts(EmbeddingModule, [5.0, 1.0, 2.0], predictions)
    assert scored == [(True, 2.0), (True, 1.0), (True, 1.0)]
    # Without scores, the pairs that are least alike come first.
    unscored = verdicts(EmbeddingModule, [None, 1.0, None], predictions)
    assert unscored == [(True, -0.1), (True, -0.2), (True, -0.9)]


def test_a_task_of_a_users_own_is_not_judged() -> None:
    assert judged(object(), [], []) is None  # type: ignore[arg-type]
