"""A vectorised counter-based hash: the source of every random choice in the data.

A draw is a pure function of integers that say what it is for: the seed, the stream, the epoch, the
sentence, and so on. Nothing is consumed, so any draw can be made again at any time and anywhere.
The mixing function is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014, figure 3).
"""

from enum import IntEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

UInt64Array: TypeAlias = NDArray[np.uint64]

_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
_WORD_MASK = (1 << 64) - 1


class Stream(IntEnum):
    """What a draw is for; the second key of every hash, so that no two uses share a draw."""

    SHARD_ORDER = 1
    SAMPLE_ORDER = 2
    SHORT_TARGET = 3
    TARGET_LENGTH = 4
    SPLIT = 5
    RANDOM_NEXT = 6
    EXCHANGE = 7
    EXCHANGE_REPAIR = 8
    TRUNCATE_A = 9
    TRUNCATE_B = 10
    MASK_POSITION = 11
    MASK_ACTION = 12
    MASK_REPLACEMENT = 13
    DROPOUT = 14
    HELD_OUT_ROWS = 15
    DOCUMENT_ORDER = 16


def hash64(*keys: ArrayLike) -> UInt64Array:
    """Hashes integer keys, broadcast against each other, to uniform 64-bit words.

    Args:
        *keys: Integers or integer arrays, from the coarsest (the seed) to the finest.

    Returns:
        An array of at least one dimension, in the keys' broadcast shape.
    """
    return extend(np.zeros(1, np.uint64), *keys)


def extend(words: UInt64Array, *keys: ArrayLike) -> UInt64Array:
    """Hashes further keys onto words: `extend(hash64(a), b)` is `hash64(a, b)`.

    It saves work where many draws share their coarser keys.
    """
    for key in keys:
        words = _mix(words ^ _as_words(key))
    return words


def to_unit(words: UInt64Array) -> NDArray[np.float64]:
    """Maps words to floats in [0, 1), by their top 53 bits."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def to_range(words: UInt64Array, bound: ArrayLike) -> NDArray[np.int64]:
    """Maps words to integers in [0, bound), where `bound` is at most 2**32.

    The bias of the fixed-point product is under bound / 2**32 for any value.
    """
    return (((words >> np.uint64(32)) * _as_words(bound)) >> np.uint64(32)).astype(np.int64)


def uniform(*keys: ArrayLike) -> NDArray[np.float64]:
    """Draws floats in [0, 1)."""
    return to_unit(hash64(*keys))


def below(bound: ArrayLike, *keys: ArrayLike) -> NDArray[np.int64]:
    """Draws integers in [0, bound), where `bound` broadcasts with the keys; see `to_range`."""
    return to_range(hash64(*keys), bound)


def permutation(length: int, *keys: ArrayLike) -> NDArray[np.int64]:
    """Draws a permutation of `range(length)`."""
    return np.argsort(hash64(*keys, np.arange(length)), kind="stable")


def binomial_half(trials: ArrayLike, *keys: ArrayLike) -> NDArray[np.int64]:
    """Counts heads in `trials` tosses of a fair coin, one result a key."""
    trials = np.asarray(trials, np.int64)
    heads = np.zeros(trials.shape, np.int64)
    for word in range(-(-int(trials.max(initial=0)) // 64)):
        used_bits = np.clip(trials - 64 * word, 0, 64).astype(np.uint64)
        # A shift by 64 is undefined, so a word of which nothing is used is shifted in two steps.
        half = (np.uint64(64) - used_bits) >> np.uint64(1)
        rest = np.uint64(64) - used_bits - half
        heads += np.bitwise_count((hash64(*keys, word) >> half) >> rest)
    return heads


def seed_from(*keys: int) -> int:
    """Hashes integer keys to one non-negative 63-bit seed for another library's generator."""
    return int(hash64(*keys)[0] >> np.uint64(1))


def _as_words(key: ArrayLike | int) -> UInt64Array:
    if isinstance(key, int):
        return np.array([key & _WORD_MASK], np.uint64)
    return np.atleast_1d(np.asarray(key)).astype(np.uint64)


def _mix(state: UInt64Array) -> UInt64Array:
    state = state + _GOLDEN_GAMMA
    state ^= state >> np.uint64(30)
    state *= _MULTIPLIER_1
    state ^= state >> np.uint64(27)
    state *= _MULTIPLIER_2
    state ^= state >> np.uint64(31)
    return state
