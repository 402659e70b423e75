import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clozekit.corpus.hold_out import (
    DUPLICATE,
    SPLIT_CODES,
    assign_splits,
    count_shards,
    shard_bounds,
)
from clozekit.errors import DataError
from clozekit.rng import UInt64Array, hash64

TRAIN, VALIDATION = SPLIT_CODES["train"], SPLIT_CODES["validation"]


def keys_of(number: int, seed: int = 0) -> UInt64Array:
    return hash64(seed, np.arange(number))


def test_the_wanted_share_is_held_out() -> None:
    keys = keys_of(20_000)
    splits = assign_splits(keys, keys, 0.05, "x")
    assert abs(np.mean(splits == VALIDATION) - 0.05) < 0.005
    assert np.array_equal(splits == VALIDATION, keys < np.uint64(int(0.05 * 2**64)))
    assert np.array_equal(splits == TRAIN, splits != VALIDATION)


def test_a_documents_split_stays_when_others_come() -> None:
    keys = keys_of(1_000)
    for number in (300, 700):
        few = assign_splits(keys[:number], keys[:number], 0.1, "x")
        assert np.array_equal(few, assign_splits(keys, keys, 0.1, "x")[:number])


@given(number=st.integers(4, 40), fraction=st.floats(0.001, 0.999), seed=st.integers(0, 99))
def test_both_splits_have_two_documents(number: int, fraction: float, seed: int) -> None:
    keys = keys_of(number, seed)
    splits = assign_splits(keys, keys, fraction, "x")
    assert min(np.sum(splits == TRAIN), np.sum(splits == VALIDATION)) >= 2
    assert keys[splits == VALIDATION].max() < keys[splits == TRAIN].min()


def test_of_equal_texts_the_first_stays() -> None:
    contents = np.array([5, 1, 5, 2, 1, 3, 4, 5], np.uint64)
    splits = assign_splits(keys_of(8), contents, 0.5, "x")
    assert (splits == DUPLICATE).tolist() == [False, False, True, False, True, False, False, True]


def test_equal_ids_are_no_hindrance() -> None:
    splits = assign_splits(np.zeros(6, np.uint64), keys_of(6), 0.5, "x")
    assert sorted(splits.tolist()) == [TRAIN] * 2 + [VALIDATION] * 4


def test_too_few_documents_are_refused() -> None:
    with pytest.raises(DataError, match=r"^x does not contain any text$"):
        assign_splits(keys_of(0)[:0], keys_of(0)[:0], 0.1, "x")
    contents = np.array([1, 1, 2, 3], np.uint64)
    with pytest.raises(DataError, match=r"^x has only 3 distinct documents .+ at least 4 are req"):
        assign_splits(keys_of(4), contents, 0.1, "x")


@given(
    keys=st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=60),
    shard_tokens=st.integers(1, 1_000),
)
def test_every_shard_has_two_documents(keys: list[int], shard_tokens: int) -> None:
    ordered = np.sort(np.array(keys, np.uint64))
    num_shards = count_shards(ordered, 10 * len(keys), shard_tokens)
    assert num_shards <= max(1, round(10 * len(keys) / shard_tokens))
    cuts = np.searchsorted(ordered, shard_bounds(num_shards))
    assert cuts[0] == 0
    assert cuts[-1] == len(keys)
    assert np.diff(cuts).min() >= 2


def test_shards_have_about_the_wanted_size() -> None:
    keys = np.sort(keys_of(50_000) & np.uint64(2**32 - 1))
    assert count_shards(keys, 1_000_000, 100_000) == 10
    sizes = np.diff(np.searchsorted(keys, shard_bounds(10)))
    assert abs(sizes - 5_000).max() < 400
