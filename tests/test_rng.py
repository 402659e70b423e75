"""The counter-based hash: uniform, independent of shapes, and never the same draw for two uses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from clozekit import rng

integers = st.integers(-(2**63), 2**64 - 1)


def test_first_words_follow_splitmix64() -> None:
    # splitmix64 of the seed 0 begins with this word (reference implementation by S. Vigna).
    assert rng.hash64(0)[0] == 0xE220A8397B1DCDAF


@given(st.lists(integers, min_size=1, max_size=5))
def test_a_scalar_and_an_array_key_give_the_same_word(keys: list[int]) -> None:
    last = np.array([keys[-1] & (2**64 - 1)], np.uint64)
    assert rng.hash64(*keys[:-1], last) == rng.hash64(*keys)


@given(hnp.arrays(np.int64, st.integers(1, 20)), st.integers(0, 2**32), st.integers(0, 2**32))
def test_extend_goes_on_where_hash64_stopped(keys: np.ndarray, first: int, second: int) -> None:
    np.testing.assert_array_equal(
        rng.extend(rng.hash64(first, keys), second), rng.hash64(first, keys, second)
    )


def test_no_two_of_a_million_counters_collide() -> None:
    assert len(np.unique(rng.hash64(1, np.arange(1_000_000)))) == 1_000_000


def test_neighbouring_keys_share_half_of_their_bits() -> None:
    counters = np.arange(100_000)
    for other in (rng.hash64(1, counters + 1), rng.hash64(2, counters), rng.hash64(1, counters, 0)):
        flipped = np.bitwise_count(rng.hash64(1, counters) ^ other)
        assert flipped.mean() == pytest.approx(32, abs=0.1)


@pytest.mark.parametrize("bound", [1, 2, 7, 1000])
def test_below_is_uniform(bound: int) -> None:
    counts = np.bincount(rng.below(bound, 3, np.arange(100_000)), minlength=bound)
    assert len(counts) == bound
    expected = 100_000 / bound
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < bound + 6 * np.sqrt(2 * bound)


def test_uniform_fills_the_unit_interval() -> None:
    draws = np.sort(rng.uniform(5, np.arange(100_000)))
    assert draws[0] >= 0
    assert draws[-1] < 1
    assert np.abs(draws - np.arange(100_000) / 100_000).max() < 0.01


@given(st.integers(0, 200), st.integers(0, 2**32))
def test_permutation_holds_every_index_once(length: int, seed: int) -> None:
    assert sorted(rng.permutation(length, seed)) == list(range(length))


@pytest.mark.parametrize("trials", [0, 1, 5, 63, 64, 65, 128, 1000])
def test_binomial_half_has_the_binomial_mean_and_variance(trials: int) -> None:
    draws = rng.binomial_half(np.full(20_000, trials), 9, np.arange(20_000))
    assert draws.min() >= 0
    assert draws.max() <= trials
    assert draws.mean() == pytest.approx(trials / 2, abs=0.05 + trials**0.5 / 60)
    assert draws.var() == pytest.approx(trials / 4, rel=0.05, abs=1e-9)


def test_binomial_half_of_mixed_trials_draws_each_as_if_alone() -> None:
    trials = np.array([3, 200, 0, 64])
    together = rng.binomial_half(trials, 9, np.arange(4))
    alone = [rng.binomial_half(np.array([n]), 9, np.array([i]))[0] for i, n in enumerate(trials)]
    assert together.tolist() == alone


@given(st.lists(st.integers(0, 700), min_size=1, max_size=12), st.integers(0, 2**32))
def test_binomial_half_counts_the_ones_of_hashed_words(trials: list[int], seed: int) -> None:
    """The top bits of as many words as are needed; so it draws the same in every version."""
    expected = [
        sum(
            (int(rng.hash64(seed, key, word)[0]) >> (64 - min(64, left))).bit_count()
            for word in range(-(-number // 64))
            if (left := number - 64 * word)
        )
        for key, number in enumerate(trials)
    ]
    draws = rng.binomial_half(np.array(trials), seed, np.arange(len(trials)))
    assert draws.tolist() == expected


def test_seed_from_fits_torch() -> None:
    assert all(0 <= rng.seed_from(7, n) < 2**63 for n in range(1000))


def test_a_long_permutation_is_the_same_as_in_one_piece() -> None:
    length = (1 << 18) + 1000
    whole = np.argsort(rng.hash64(3, 4, np.arange(length)), kind="stable")
    np.testing.assert_array_equal(rng.permutation(length, 3, 4), whole)
