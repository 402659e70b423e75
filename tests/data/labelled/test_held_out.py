"""Rows that are held out for validation, stratified by class."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from clozekit.data.labelled.held_out import held_out
from clozekit.errors import DataError
from tests.data.labelled.written_rows import datamodule, written


def drawn(sizes: list[int], fraction: float, seed: int = 3) -> tuple[NDArray[np.int64], list[int]]:
    """Returns the rows held out of classes of these sizes, and how many of each class."""
    strata = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    places = np.flatnonzero(held_out(strata, None, fraction, seed))
    return places, np.bincount(strata[places], minlength=len(sizes)).tolist()


def test_many_small_classes_have_their_share_of_the_validation_rows() -> None:
    _, counts = drawn([600, *[4] * 100], 0.1)
    assert counts[0] == 60 and sorted(counts[1:]) == [0] * 60 + [1] * 40
    _, counts = drawn([4] * 300, 0.1)
    assert sorted(counts) == [0] * 180 + [1] * 120


def test_which_small_classes_are_held_out_depends_on_the_seed_only() -> None:
    first, again, other = (drawn([4] * 300, 0.1, seed)[1] for seed in (3, 3, 4))
    assert first == again != other


def test_classes_that_round_up_alike_are_not_held_out_more_than_asked() -> None:
    _, counts = drawn([6] * 100, 0.1)
    assert sorted(counts) == [0] * 40 + [1] * 60


@pytest.mark.parametrize("fraction", [0.6, 0.99])
def test_every_class_keeps_a_row_for_training(fraction: float) -> None:
    sizes = [50, 1, 1, 2, 3]
    _, counts = drawn(sizes, fraction)
    assert all(count < size for count, size in zip(counts, sizes, strict=True))
    assert counts[0] == round(fraction * 50) - (fraction == 0.99)


def test_rows_of_large_classes_are_those_of_rounded_shares() -> None:
    # As drawn before small classes had their share: runs that resume need the same rows.
    places, counts = drawn([30, 20], 0.1)
    assert counts == [3, 2]
    assert places.tolist() == [5, 11, 23, 34, 47]
    assert drawn([500, 333, 167], 0.1)[1] == [50, 33, 17]


@pytest.mark.parametrize(
    ("sizes", "fraction", "message"),
    [
        ([3], 0.1, "0.1 of 3 rows leaves no rows"),
        ([1, 1, 1], 0.6, "0.6 of 3 rows .* because each class has only one row"),
    ],
)
def test_a_share_of_no_rows_is_refused(sizes: list[int], fraction: float, message: str) -> None:
    with pytest.raises(DataError, match=message):
        drawn(sizes, fraction)


def test_classes_without_a_validation_row_are_counted(tmp_path: Path) -> None:
    rows = [("a", f"class {number // 4}") for number in range(40)]
    data = datamodule(written(tmp_path, "csv", rows), validation=None)
    assert data.facts()["labels not in validation"].startswith("6, ")
