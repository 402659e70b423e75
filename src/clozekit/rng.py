"""A vectorized counter-based random number generator, for every random choice in the data.

A random number is a pure function of integer keys, such as the seed, the stream, the epoch and the
sentence. There is no state, so any number can be computed again at any time, in any process. The
mixing function is the finalizer of SplitMix64 (Steele, Lea and Flood, 2014, figure 3).
"""

from enum import IntEnum
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

UInt64Array: TypeAlias = NDArray[np.uint64]

_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
_WORD_MASK = (1 << 64) - 1
_BLOCK = 1 << 18
_MOST_OF_INT32 = 2**31 - 1


class Stream(IntEnum):
    """The purpose of a random number. It is the second key, so that no two purposes share one."""

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
    MASK_SPAN = 21


def hash64(*keys: ArrayLike) -> UInt64Array:
    """Hashes integer keys to uniform 64-bit words.

    Args:
        *keys: Integers or integer arrays that broadcast, from the coarsest (the seed) to the
            finest.

    Returns:
        An array of at least one dimension, in the keys' broadcast shape.
    """
    return extend(np.zeros(1, np.uint64), *keys)


def hash_text(text: str) -> int:
    """Hashes text to 64 bits with BLAKE2b. Two of a billion texts hardly have the same hash."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def extend(words: UInt64Array, *keys: ArrayLike) -> UInt64Array:
    """Hashes additional keys into words: `extend(hash64(a), b)` equals `hash64(a, b)`.

    This saves work if many numbers share their first keys.
    """
    for key in keys:
        words = _mix(words ^ _as_words(key))
    return words


def to_unit(words: UInt64Array) -> NDArray[np.float64]:
    """Maps words to floats in [0, 1), using their top 53 bits."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def to_range(words: UInt64Array, bound: ArrayLike) -> NDArray[np.int64]:
    """Maps words to integers in [0, bound), where `bound` is at most 2**32.

    The bias of the fixed-point product is less than bound / 2**32 for each value.
    """
    return (((words >> np.uint64(32)) * _as_words(bound)) >> np.uint64(32)).astype(np.int64)


def uniform(*keys: ArrayLike) -> NDArray[np.float64]:
    """Draws floats in [0, 1)."""
    return to_unit(hash64(*keys))


def below(bound: ArrayLike, *keys: ArrayLike) -> NDArray[np.int64]:
    """Draws integers in [0, bound), where `bound` broadcasts with the keys; see `to_range`."""
    return to_range(hash64(*keys), bound)


def permutation(length: int, *keys: ArrayLike) -> NDArray[np.integer[Any]]:
    """Draws a permutation of `range(length)`: the order of one word per index.

    Returns:
        `[length]`, int32 if that is enough, else int64.
    """
    words = np.empty(length, np.uint64)
    buckets = np.empty(length, np.uint8)
    prefix = hash64(*keys)
    # In blocks and buckets, because hashing and sorting need memory for several copies.
    for begin in range(0, length, _BLOCK):
        block = slice(begin, min(begin + _BLOCK, length))
        words[block] = extend(prefix, np.arange(block.start, block.stop))
        buckets[block] = words[block] >> np.uint64(60)
    order: NDArray[np.integer[Any]] = np.empty(
        length, np.int32 if length <= _MOST_OF_INT32 else np.int64
    )
    sorted_so_far = 0
    for bucket in range(16):
        members = np.flatnonzero(buckets == bucket)
        part = slice(sorted_so_far, sorted_so_far + len(members))
        order[part] = members[np.argsort(words[members], kind="stable")]
        sorted_so_far = part.stop
    return order


def binomial_half(trials: ArrayLike, *keys: ArrayLike) -> NDArray[np.int64]:
    """Draws the number of heads in `trials` tosses of a fair coin, once per key."""
    trials = np.asarray(trials, np.int64)
    heads = np.zeros(trials.shape, np.int64)
    prefix = np.broadcast_to(hash64(*keys), trials.shape)
    # A few values may have thousands of tosses, and most of them none.
    active = np.flatnonzero(trials > 0)
    word = 0
    while len(active):
        used_bits = np.minimum(trials[active] - 64 * word, 64).astype(np.uint64)
        unused = np.uint64(64) - used_bits
        heads[active] += np.bitwise_count(extend(prefix[active], word) >> unused)
        word += 1
        active = active[trials[active] > 64 * word]
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
