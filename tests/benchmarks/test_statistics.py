"""The paired comparison, against printed tables and figures computed by hand."""

import math

import pytest

from clozekit.benchmarks.statistics import Verdict, compare, spread_of, student_quantile

PRINTED = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 30: 2.042, 120: 1.980}
"""The quantiles of 97.5 % in tables of Student's distribution, by degrees of freedom."""


@pytest.mark.parametrize("degrees", PRINTED)
def test_a_quantile_is_the_printed_one(degrees: int) -> None:
    assert student_quantile(0.975, degrees) == pytest.approx(PRINTED[degrees], abs=5e-4)


def test_the_mean_and_deviation_of_seeds() -> None:
    spread = spread_of([70.0, 72.0, 77.0])
    assert (spread.mean, spread.deviation) == (73.0, pytest.approx(math.sqrt(13.0)))
    assert spread_of([70.0]).deviation is None


def test_a_difference_by_hand() -> None:
    # Differences 2, 3 and 4: mean 3, deviation 1; the limit is 4.303 * 1 / sqrt(3) = 2.484.
    found = compare([70.0, 71.0, 72.0], [72.0, 74.0, 76.0], "max")
    assert (found.spread.mean, found.spread.deviation) == (3.0, 1.0)
    assert found.verdict == Verdict.BETTER
    assert compare([72.0, 74.0, 76.0], [70.0, 71.0, 72.0], "max").verdict == Verdict.WORSE
    assert compare([72.0, 74.0, 76.0], [70.0, 71.0, 72.0], "min").verdict == Verdict.BETTER
    # Differences 1.4, 2.4 and 3.4: the mean 2.4 is within the limit 2.484.
    assert compare([0.0, 0.0, 0.0], [1.4, 2.4, 3.4], "max").verdict == Verdict.UNDECIDED


def test_seeds_are_paired() -> None:
    # Both vary by 10 over seeds, and the second is better by 1 at each.
    first, second = [60.0, 70.0, 80.0], [61.0, 71.1, 80.9]
    assert compare(first, second, "max").verdict == Verdict.BETTER
    assert compare(first, [71.1, 80.9, 61.0], "max").verdict == Verdict.UNDECIDED


def test_one_seed_decides_nothing_and_equal_scores_neither() -> None:
    assert compare([10.0], [90.0], "max").verdict == Verdict.UNDECIDED
    assert compare([10.0, 20.0], [10.0, 20.0], "max").verdict == Verdict.UNDECIDED
