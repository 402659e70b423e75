"""Which predictions are wrong, and how sure the model was of them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clozekit.inference.row_predictor import Prediction
from clozekit.metrics.squad_metric import exact_match
from clozekit.tasks.answering import AnsweringModule
from clozekit.tasks.classification import ClassificationModule
from clozekit.tasks.embedding import EmbeddingModule
from clozekit.tasks.fine_tuning import FineTuningModule
from clozekit.tasks.multiple_choice import MultipleChoiceModule
from clozekit.tasks.regression import RegressionModule
from clozekit.tasks.tagging import TaggingModule


@dataclass(frozen=True)
class Judged:
    """A judged prediction.

    Attributes:
        is_wrong: Whether it is wrong. Always true for scores and vectors, which are never exact.
        weight: Wrong predictions are shown by this, the largest first.
        hint: The confidence or the error in words.
    """

    is_wrong: bool
    weight: float
    hint: str


def judged(
    module: FineTuningModule[Any], golds: Sequence[Any], predictions: Sequence[Prediction]
) -> list[Judged] | None:
    """Judges predictions.

    Args:
        module: The module of the task.
        golds: The labels, in the format of the predictions.
        predictions: The predictions.

    Returns:
        One for each; None for a task of a user's own.
    """
    if isinstance(module, EmbeddingModule):
        return _of_similarities(golds, predictions)
    for kind, judge in _JUDGES:
        if isinstance(module, kind):
            return [judge(gold, p) for gold, p in zip(golds, predictions, strict=True)]
    return None


def _of_class(gold: Any, prediction: Prediction) -> Judged:
    scores = prediction["scores"]
    if "labels" not in prediction:
        is_wrong = prediction["label"] != gold
        return _confident(is_wrong, scores[prediction["label"]])
    chosen = set(prediction["labels"])
    mistakes = chosen.symmetric_difference(gold)
    # A label that the model does not have is missed with certainty.
    sure = [scores[n] if n in chosen else 1 - scores.get(n, 0.0) for n in mistakes]
    return _confident(bool(mistakes), max(sure, default=0.0))


def _of_choice(gold: Any, prediction: Prediction) -> Judged:
    return _confident(prediction["label"] != gold, prediction["scores"][prediction["label"]])


def _of_tags(gold: Any, prediction: Prediction) -> Judged:
    words = zip(gold, prediction["tags"], prediction["scores"], strict=True)
    sure = [score for right, tag, score in words if right is not None and tag != right]
    if not sure:
        return Judged(False, 0.0, "")
    number = f"{len(sure):,} wrong tag{'s' if len(sure) > 1 else ''}"
    return Judged(True, max(sure), f"{number}, confidence up to {max(sure):.3f}")


def _of_answer(gold: Any, prediction: Prediction) -> Judged:
    is_wrong = not exact_match(prediction["answer"], gold)
    candidates = prediction["candidates"]
    sure = candidates[0]["probability"] if candidates else 0.0
    score = prediction.get("no_answer_score", -math.inf)
    # The score is the difference of the logits of no answer and of the best answer.
    none = 1 / (1 + math.exp(-max(-700.0, min(score, 700.0)))) if score > -math.inf else 0.0
    return _confident(is_wrong, (1 - none) * sure if prediction["answer"] else none)


def _of_score(gold: Any, prediction: Prediction) -> Judged:
    error = abs(prediction["score"] - gold)
    return Judged(True, error, f"error {error:.4g}")


def _of_similarities(golds: Sequence[Any], predictions: Sequence[Prediction]) -> list[Judged]:
    """Judges pairs by their ranks if all have scores, else by how little alike they are."""
    similarities = np.array([prediction["similarity"] for prediction in predictions])
    if any(gold is None for gold in golds):
        return [Judged(True, -float(each), "") for each in similarities]
    differences = _ranks(similarities) - _ranks(np.array(golds, np.float64))
    return [
        Judged(True, abs(float(each)), f"rank {each:+,.0f} of {len(golds):,}")
        for each in differences
    ]


def _ranks(values: Any) -> Any:
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values))
    ranks[order] = np.arange(len(values))
    return ranks


def _confident(is_wrong: bool, confidence: float) -> Judged:
    return Judged(is_wrong, confidence, f"confidence {confidence:.3f}")


_JUDGES: tuple[tuple[type[Any], Callable[[Any, Prediction], Judged]], ...] = (
    (ClassificationModule, _of_class),
    (MultipleChoiceModule, _of_choice),
    (TaggingModule, _of_tags),
    (AnsweringModule, _of_answer),
    (RegressionModule, _of_score),
)
