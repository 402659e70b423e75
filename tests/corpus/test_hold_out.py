import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from clozekit.corpus.hold_out import (
    DUPLICATE,
    SPLIT_CODES,
    KeyCounts,
    count_shards,
    later_of_equal,
    most_shards,
    shard_bounds,
    split_codes,
)
from clozekit.rng import UInt64Array, hash64

TRAIN, VALIDATION = SPLIT_CODES["train"], SPLIT_CODES["validation"]


def keys_of(number: int, seed: int = 0) -> UInt64Array:
    return hash64(seed, np.arange(number))


def assign_splits(keys: UInt64Array, fraction: float, parts: int = 1) -> NDArray[np.uint8]:
    """The splits of documents without duplicates that are counted in several parts."""
    rows = np.arange(len(keys))
    cuts = np.array_split(rows, parts)
    counts = KeyCounts.sum(KeyCounts.of(keys[cut], cut, fraction) for cut in cuts)
    assert counts.documents == len(keys)
    return split_codes(keys, rows, np.ones(len(keys), np.bool_), counts.bound(fraction))


def test_the_wanted_share_is_held_out() -> None:
    keys = keys_of(20_000)
    splits = assign_splits(keys, 0.05)
    assert abs(np.mean(splits == VALIDATION) - 0.05) < 0.005
    assert np.array_equal(splits == VALIDATION, keys < np.uint64(int(0.05 * 2**64)))
    assert np.array_equal(splits == TRAIN, splits != VALIDATION)


def test_a_documents_split_stays_when_others_come() -> None:
    keys = keys_of(1_000)
    for number in (300, 700):
        assert np.array_equal(assign_splits(keys[:number], 0.1), assign_splits(keys, 0.1)[:number])


@given(
    keys=st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 3), min_size=4, max_size=40),
    fraction=st.floats(0.001, 0.999),
    parts=st.integers(1, 50),
)
def test_both_splits_have_two_documents(keys: list[int], fraction: float, parts: int) -> None:
    splits = assign_splits(np.array(keys, np.uint64), fraction, parts)
    # The documents with the smallest keys are held out; of equal keys, the first.
    below = sum(key < int(fraction * 2.0**64) for key in keys)
    by_key = sorted(range(len(keys)), key=lambda row: (keys[row], row))
    held_out = by_key[: min(max(below, 2), len(keys) - 2)]
    assert np.flatnonzero(splits == VALIDATION).tolist() == sorted(held_out)


@given(contents=st.lists(st.integers(0, 9), max_size=40), seed=st.integers(0, 9))
def test_of_equal_texts_the_first_stays(contents: list[int], seed: int) -> None:
    rows = np.random.default_rng(seed).permutation(len(contents))
    later = later_of_equal(np.array(contents, np.uint64)[rows], rows)
    assert later.tolist() == [i for i, each in enumerate(contents) if each in contents[:i]]


def test_duplicates_belong_to_no_split() -> None:
    keys, is_kept = keys_of(6), np.arange(6) != 3
    counts = KeyCounts.of(keys, np.arange(6), 0.5)
    splits = split_codes(keys, np.arange(6), is_kept, counts.bound(0.5))
    assert ((splits != DUPLICATE) == is_kept).all()


@given(
    keys=st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=60),
    shard_tokens=st.integers(1, 1_000),
)
def test_every_shard_has_two_documents(keys: list[int], shard_tokens: int) -> None:
    ordered = np.sort(np.array(keys, np.uint64))
    num_shards = count_shards(ordered, most_shards(len(keys), 10 * len(keys), shard_tokens))
    assert num_shards <= max(1, round(10 * len(keys) / shard_tokens))
    cuts = np.searchsorted(ordered, shard_bounds(num_shards))
    assert cuts[0] == 0
    assert cuts[-1] == len(keys)
    assert np.diff(cuts).min() >= 2


def test_shards_have_about_the_wanted_size() -> None:
    keys = np.sort(keys_of(50_000) & np.uint64(2**32 - 1))
    assert count_shards(keys, most_shards(len(keys), 1_000_000, 100_000)) == 10
    sizes = np.diff(np.searchsorted(keys, shard_bounds(10)))
    assert abs(sizes - 5_000).max() < 400
