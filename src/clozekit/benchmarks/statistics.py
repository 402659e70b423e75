"""Means, deviations, and the decision whether a difference is more than chance."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

CONFIDENCE = 0.95


class Verdict(StrEnum):
    """Whether a checkpoint is better than another one at a task."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Spread:
    """The mean and the deviation of scores over seeds.

    Attributes:
        mean: The mean.
        deviation: The sample standard deviation; None for a single seed.
    """

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Difference:
    """The difference of two checkpoints at a task, over the seeds of both.

    Attributes:
        spread: The mean and the deviation of the differences of the same seeds.
        verdict: Whether the second checkpoint is better than the first.
    """

    spread: Spread
    verdict: Verdict


def spread_of(scores: Sequence[float]) -> Spread:
    """Returns the mean and the sample standard deviation of one or more scores."""
    mean = math.fsum(scores) / len(scores)
    return Spread(mean, statistics.stdev(scores) if len(scores) > 1 else None)


def compare(
    first: Sequence[float], second: Sequence[float], mode: Literal["min", "max"]
) -> Difference:
    """Compares the scores of two checkpoints, of the same seeds in the same order.

    The verdict is that of a paired t-test with a confidence of 95 %: the mean of the differences is
    decided if it is further from 0 than t · deviation / √seeds, where t is the quantile of
    Student's distribution. One seed decides nothing.

    Args:
        first: The scores of the checkpoint that is compared with.
        second: The scores of the other one.
        mode: Whether the smallest (`min`) or largest (`max`) score is best.
    """
    spread = spread_of([b - a for a, b in zip(first, second, strict=True)])
    number = len(first)
    if spread.deviation is None:
        return Difference(spread, Verdict.UNDECIDED)
    quantile = student_quantile((1 + CONFIDENCE) / 2, number - 1)
    if abs(spread.mean) <= quantile * spread.deviation / math.sqrt(number):
        return Difference(spread, Verdict.UNDECIDED)
    is_better = (spread.mean > 0) == (mode == "max")
    return Difference(spread, Verdict.BETTER if is_better else Verdict.WORSE)


def student_quantile(probability: float, degrees: int) -> float:
    """Returns a quantile of Student's t-distribution.

    Args:
        probability: The probability of smaller values, at least 0.5 and less than 1.
        degrees: The degrees of freedom, a positive integer.
    """
    low, high = 0.0, 1.0
    while student_cdf(high, degrees) < probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if student_cdf(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return high


def student_cdf(value: float, degrees: int) -> float:
    """Returns the probability of values up to a non-negative one (Abramowitz and Stegun, 26.7.3-4).

    Args:
        value: The value.
        degrees: The degrees of freedom, a positive integer.
    """
    angle = math.atan(value / math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    is_odd = degrees % 2 == 1
    term = cosine if is_odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(3 if is_odd else 2, degrees - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    inside = 2 / math.pi * (angle + sine * total) if is_odd else sine * total
    return (1 + inside) / 2
