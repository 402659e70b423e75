"""Exact match and F1 of answers, as in the official SQuAD 1.1 and 2.0 scripts."""

import math
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Converts text to lower case and removes punctuation, articles and extra whitespace."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact_match(answer: str, golds: Sequence[str]) -> float:
    """Returns 1 if the normalized answer equals one of the normalized gold answers, else 0.

    If no gold answer has any words, the right answer is the empty one.
    """
    return _exact_match(normalize_answer(answer), _normalized(golds))


def f1(answer: str, golds: Sequence[str]) -> float:
    """Returns the word F1 of an answer, from 0 to 1: the highest over all gold answers.

    If no gold answer has any words, the right answer is the empty one.
    """
    return _f1(normalize_answer(answer), _normalized(golds))


def final_answer(answer: str, no_answer_score: float, threshold: float) -> str:
    """Returns the best answer, or an empty one if `no_answer_score` is above the threshold."""
    return "" if no_answer_score > threshold else answer


OF_UNANSWERABLE = (
    *("has_answer_exact_match", "has_answer_f1", "no_answer_accuracy"),
    *("best_exact_match", "best_exact_match_threshold", "best_f1", "best_f1_threshold"),
)
"""Metrics that `summarize` adds if some questions have no answer."""


class Score(NamedTuple):
    """The score of one question, as numbers only so that it fits in a tensor.

    Attributes:
        exact_match: The exact match of the answer.
        f1: The F1 of the answer.
        no_answer_score: The higher, the more likely the question has no answer.
        has_gold: 1 if the question has a gold answer, even one without words; else 0.
        is_answered: 1 if the answer is not empty, else 0.
    """

    exact_match: float
    f1: float
    no_answer_score: float
    has_gold: float
    is_answered: float


def score_answer(answer: str, golds: Sequence[str], no_answer_score: float) -> Score:
    """Scores an answer without applying the no-answer threshold."""
    normalized, normalized_golds = normalize_answer(answer), _normalized(golds)
    return Score(
        exact_match=_exact_match(normalized, normalized_golds),
        f1=_f1(normalized, normalized_golds),
        no_answer_score=no_answer_score,
        has_gold=float(bool(golds)),
        is_answered=float(answer != ""),
    )


def apply_threshold(score: Score, threshold: float) -> Score:
    """Applies the threshold: an empty answer is right only if the question has no gold answer."""
    if score.no_answer_score > threshold:
        right = 1.0 - score.has_gold
        return score._replace(exact_match=right, f1=right, is_answered=0.0)
    return score


class Best(NamedTuple):
    """The best value of a metric over all thresholds.

    Attributes:
        value: The metric in percent.
        threshold: Questions with a higher no-answer score get an empty answer.
    """

    value: float
    threshold: float


def find_best(values: Sequence[float], scores: Sequence[Score]) -> Best:
    """Finds the best threshold in the same way as the SQuAD 2.0 script.

    The script starts with all answers empty and adds the answers one by one, in order of their
    no-answer score. It therefore separates questions of equal score, which no threshold can do, and
    the threshold is 0 if leaving all answers empty is best.

    Args:
        values: The metric of each answer, from 0 to 1, without a threshold.
        scores: The questions, in the same order.

    Returns:
        The best value and its threshold.
    """
    total = best = sum(1.0 - score.has_gold for score in scores)
    threshold = 0.0
    pairs = zip(values, scores, strict=True)
    for value, score in sorted(pairs, key=lambda pair: pair[1].no_answer_score):
        if score.has_gold:
            total += value
        else:
            total -= score.is_answered
        if total > best:
            best, threshold = total, score.no_answer_score
    return Best(100.0 * best / len(scores), threshold)


def summarize(scores: Sequence[Score], threshold: float) -> dict[str, float]:
    """Averages the scores of all questions, in percent.

    Args:
        scores: The questions, each with the score of its best non-empty answer.
        threshold: The no-answer score above which the answer is empty.

    Returns:
        `exact_match` and `f1`. If some questions have no gold answer, also both metrics over the
        questions with a gold answer (if any), the share of the other questions whose answer is
        empty, and the best value and threshold of both metrics.
    """
    final = [apply_threshold(score, threshold) for score in scores]
    results = {
        "exact_match": _percent(score.exact_match for score in final),
        "f1": _percent(score.f1 for score in final),
    }
    with_gold = [score for score in final if score.has_gold]
    without_gold = [score for score in final if not score.has_gold]
    if not without_gold:
        return results
    if with_gold:
        results["has_answer_exact_match"] = _percent(score.exact_match for score in with_gold)
        results["has_answer_f1"] = _percent(score.f1 for score in with_gold)
    results["no_answer_accuracy"] = _percent(score.exact_match for score in without_gold)
    best = find_best([score.exact_match for score in scores], scores)
    results["best_exact_match"], results["best_exact_match_threshold"] = best
    best = find_best([score.f1 for score in scores], scores)
    results["best_f1"], results["best_f1_threshold"] = best
    return results


class SquadMetric(Metric):
    """The SQuAD metrics over all questions of all processes, as in `summarize`.

    Args:
        no_answer_threshold: The no-answer score above which the answer is empty.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True

    rows: list[Tensor] | Tensor

    def __init__(self, no_answer_threshold: float = 0.0) -> None:
        super().__init__()
        self.no_answer_threshold = no_answer_threshold
        # Flat, because torchmetrics gives processes without questions a flat, empty state.
        self.add_state("rows", [], dist_reduce_fx="cat")

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the state, also for processes without questions."""
        # MPS has no float64.
        return torch.float32 if self.device.type == "mps" else torch.float64

    def update(
        self,
        answers: Sequence[str],
        golds: Sequence[Sequence[str]],
        no_answer_scores: Sequence[float],
    ) -> None:
        """Adds questions.

        Args:
            answers: The best non-empty answer to each question, if any.
            golds: The gold answers of each question; may be empty.
            no_answer_scores: The higher, the more likely the question has no answer.
        """
        questions = zip(answers, golds, no_answer_scores, strict=True)
        scores = [score_answer(*question) for question in questions]
        rows = torch.tensor(scores, dtype=self.dtype, device=self.device)
        assert isinstance(self.rows, list), "states are not synchronized while they grow"
        self.rows.append(rows.flatten())

    def compute(self) -> dict[str, Tensor]:
        """Computes the metrics; NaN if there are no questions."""
        results = summarize(self._scores(), self.no_answer_threshold)
        return {
            name: torch.tensor(value, dtype=self.dtype, device=self.device)
            for name, value in results.items()
        }

    def _scores(self) -> list[Score]:
        if isinstance(self.rows, list) and not self.rows:
            return []
        rows = dim_zero_cat(self.rows).view(-1, len(Score._fields))
        return [Score(*row) for row in rows.tolist()]


def _normalized(golds: Sequence[str]) -> list[str]:
    """Normalizes gold answers and drops those without words; `[""]` if none is left."""
    return [gold for gold in map(normalize_answer, golds) if gold] or [""]


def _exact_match(normalized: str, normalized_golds: list[str]) -> float:
    return float(normalized in normalized_golds)


def _f1(normalized: str, normalized_golds: list[str]) -> float:
    words = normalized.split()
    return max(_overlap(words, gold.split()) for gold in normalized_golds)


def _overlap(words: list[str], gold_words: list[str]) -> float:
    if not words or not gold_words:
        return float(words == gold_words)
    common = (Counter(words) & Counter(gold_words)).total()
    if common == 0:
        return 0.0
    precision, recall = common / len(words), common / len(gold_words)
    return 2 * precision * recall / (precision + recall)


def _percent(values: Iterable[float]) -> float:
    listed = list(values)
    return 100.0 * sum(listed) / len(listed) if listed else math.nan
