"""Exact match and F1 of answers, by the rules of SQuAD 1.1 and 2.0."""

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
    """Brings a text to lower case, without punctuation, articles and surplus whitespace."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact_match(answer: str, golds: Sequence[str]) -> float:
    """Gives 1 where an answer is one of the gold answers once both are normalized, else 0.

    Without a gold answer that has any words, the right answer is an empty one.
    """
    return _exact_match(normalize_answer(answer), _normalized(golds))


def f1(answer: str, golds: Sequence[str]) -> float:
    """Gives the F1 of an answer's words, from 0 to 1, with that gold answer where it is highest.

    Without a gold answer that has any words, the right answer is an empty one.
    """
    return _f1(normalize_answer(answer), _normalized(golds))


def final_answer(answer: str, no_answer_score: float, threshold: float) -> str:
    """Gives a model's prediction: its best answer, or none where none is likely enough."""
    return "" if no_answer_score > threshold else answer


OF_UNANSWERABLE = (
    *("has_answer_exact_match", "has_answer_f1", "no_answer_accuracy"),
    *("best_exact_match", "best_exact_match_threshold", "best_f1", "best_f1_threshold"),
)
"""What `summarize` adds where some question has no answer."""


class Score(NamedTuple):
    """A question's score, all in numbers so that a tensor can hold it.

    Attributes:
        exact_match: The exact match of the answer.
        f1: The F1 of the answer.
        no_answer_score: Grows with how likely it is that there is no answer.
        has_gold: 1 where the question has a gold answer, else 0.
        is_answered: 1 where the answer is not empty, else 0.
    """

    exact_match: float
    f1: float
    no_answer_score: float
    has_gold: float
    is_answered: float


def score_answer(answer: str, golds: Sequence[str], no_answer_score: float) -> Score:
    """Scores an answer as if it was given, whatever its no-answer score."""
    normalized, normalized_golds = normalize_answer(answer), _normalized(golds)
    return Score(
        exact_match=_exact_match(normalized, normalized_golds),
        f1=_f1(normalized, normalized_golds),
        no_answer_score=no_answer_score,
        has_gold=float(normalized_golds != [""]),
        is_answered=float(answer != ""),
    )


def apply_threshold(score: Score, threshold: float) -> Score:
    """Scores the final answer: an empty one is right exactly where there is no gold answer."""
    if score.no_answer_score > threshold:
        right = 1.0 - score.has_gold
        return score._replace(exact_match=right, f1=right, is_answered=0.0)
    return score


class Best(NamedTuple):
    """The best that a choice of threshold can reach.

    Attributes:
        value: The metric in percent.
        threshold: Questions with a higher no-answer score are left without an answer.
    """

    value: float
    threshold: float


def find_best(values: Sequence[float], scores: Sequence[Score]) -> Best:
    """Finds the best threshold as the script of SQuAD 2.0 does.

    It begins with no answer anywhere, and gives the answers one by one, the surest first. So
    questions of equal no-answer score are told apart, which no threshold could do, and the
    threshold is 0 where nothing is better than no answer anywhere.

    Args:
        values: What each answer is worth, from 0 to 1, should it be given.
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
    """Sums the scores of all questions up, in percent.

    Args:
        scores: The questions, each with the score of the best answer that is not empty.
        threshold: The no-answer score above which no answer is given.

    Returns:
        `exact_match` and `f1`. Where some question has no gold answer, also the same over the
        questions that have one (if any), the share of the others that are left without an answer,
        and the best that another threshold would reach.
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
    """The metrics of SQuAD over all questions of all processes; `summarize` names them.

    Args:
        no_answer_threshold: The no-answer score above which no answer is given.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True

    rows: list[Tensor] | Tensor

    def __init__(self, no_answer_threshold: float = 0.0) -> None:
        super().__init__()
        self.no_answer_threshold = no_answer_threshold
        # Flat, because torchmetrics gives a process without questions a flat, empty state.
        self.add_state("rows", [], dist_reduce_fx="cat")

    @property
    def dtype(self) -> torch.dtype:
        """The state's type, in which a process without questions joins the others."""
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
            answers: The best answer to each question that is not empty, if there is one.
            golds: The gold answers of each question, which may be none.
            no_answer_scores: Grows with how likely it is that there is no answer.
        """
        questions = zip(answers, golds, no_answer_scores, strict=True)
        scores = [score_answer(*question) for question in questions]
        rows = torch.tensor(scores, dtype=self.dtype, device=self.device)
        assert isinstance(self.rows, list), "states are not synchronized while they grow"
        self.rows.append(rows.flatten())

    def compute(self) -> dict[str, Tensor]:
        """Computes the metrics; they are NaN without any question."""
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
    """Normalizes the gold answers that have any words; one empty answer stands for none."""
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
