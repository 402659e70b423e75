"""Rows that are held out for validation, stratified by class."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from clozekit.data.labelled.held_out import held_out
from clozekit.errors import DataError
from tests.data.labelled.written_rows import datamodule, written


def two_groups(most: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(0, most), st.integers(0, most))


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


@settings(deadline=None)
@given(st.integers(1, 40).flatmap(lambda most: st.lists(two_groups(most), min_size=2, max_size=60)))
def test_connected_rows_stay_together(groups: list[tuple[int, int]]) -> None:
    number = len(groups)
    of_rows = np.array(groups, np.uint64)
    links = csr_array((np.ones(2 * number), (np.repeat(np.arange(number), 2), of_rows.reshape(-1))))
    num_sets, expected = connected_components(links @ links.T, directed=False)
    strata = np.zeros(number, np.int64)
    if num_sets == 1:
        with pytest.raises(DataError, match="texts that they share connect all of them"):
            held_out(strata, of_rows, 0.3, 1)
        return
    # The first row of each row's set, as one group, gives the same.
    firsts = np.array([np.flatnonzero(expected == each)[0] for each in expected], np.uint64)
    try:
        found = held_out(strata, of_rows, 0.3, 1)
    except DataError:
        with pytest.raises(DataError):
            held_out(strata, firsts[:, None], 0.3, 1)
        return
    assert np.array_equal(found, held_out(strata, firsts[:, None], 0.3, 1))
    assert not set(expected[found]) & set(expected[~found])
    if num_sets == number:
        assert np.array_equal(found, held_out(strata, None, 0.3, 1))


@pytest.mark.parametrize("seed", range(8))
def test_many_connected_rows_are_not_held_out_for_few(seed: int) -> None:
    groups = np.array([*[0] * 60, *range(1, 41)], np.uint64)[:, None]
    found = held_out(np.zeros(100, int), groups, 0.1, seed)
    assert found.sum() == 10 and not found[:60].any()
    pairs = np.repeat(np.arange(2, dtype=np.uint64), 50)[:, None]
    assert held_out(np.zeros(100, int), pairs, 0.1, seed).sum() == 50, "there are no others"


@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
def test_a_long_chain_of_rows_is_found_in_one_go(order: str) -> None:
    number = 200_000
    places = np.arange(number)
    if order != "ascending":
        draw = np.random.default_rng(0)
        places = places[::-1] if order == "descending" else draw.permutation(number)
    chain = np.stack([places, places + 1], axis=1).astype(np.uint64)
    alone = np.array([[number + 5, number + 6]], np.uint64)
    found = held_out(np.zeros(number + 1, int), np.concatenate([chain, alone]), 0.3, 1)
    assert len(set(found[:-1].tolist())) == 1 and found[-1] != found[0]


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
