"""MinHash signatures of documents, and their bands.

The fraction of equal MinHash values of two sets estimates their Jaccard index, the size of the
intersection divided by that of the union (Broder, 1997, "On the resemblance and containment of
documents"). Documents are compared only if all values of at least one band are equal, so that not
all pairs need to be compared (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets",
section 3.4).

The hash functions are h(x) = ((a x + b) mod 2^64) div 2^32 for a 32-bit x, with random 64-bit a and
b. This family is strongly universal (Dietzfelbinger, 1996) and needs no modulo by a prime.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clozekit.corpus.texts.normalized_words import NormalizedWords
from clozekit.corpus.tokenized import offsets_of
from clozekit.rng import UInt64Array, hash64, hash_text

_HALF = np.uint64(32)
_BASE = np.uint64(0xD6E8FEB86659FD93)  # An odd constant for polynomial hashes.
_FACTORS, _SUMMANDS = 1, 2
_SHINGLES_AT_ONCE = 1 << 15


def shingles(words: NormalizedWords, ngram_size: int) -> tuple[UInt64Array, NDArray[np.int64]]:
    """Hashes all n-grams of consecutive words to 64 bits.

    Returns:
        The hashes of all documents, `[shingles]`, and the start of each document in them,
        `[documents + 1]`. A document with fewer than `ngram_size` words has one n-gram of all its
        words; one without words has none.
    """
    lengths = np.diff(words.offsets)
    # Short documents are filled up with zeros, which are not the hash of a word.
    padded_lengths = np.where(lengths, np.maximum(lengths, ngram_size), 0)
    padded_offsets = offsets_of(padded_lengths)
    padded = np.zeros(padded_offsets[-1], np.uint64)
    hashes = np.array([hash_text(word) for word in words.distinct], np.uint64)
    places = _consecutive(padded_offsets[:-1], lengths)
    padded[places] = hashes[words.indices]
    offsets = offsets_of(np.where(lengths, padded_lengths - ngram_size + 1, 0))
    places = _consecutive(padded_offsets[:-1], np.diff(offsets))
    grams = np.zeros(len(places), np.uint64)
    for position in range(ngram_size):
        grams *= _BASE
        grams += padded[places + position]
    return hash64(grams), offsets


def signatures(
    hashes: UInt64Array, offsets: NDArray[np.int64], num_hashes: int
) -> NDArray[np.uint32]:
    """Returns `[documents, num_hashes]`: the smallest value of each hash function.

    Args:
        hashes: `[shingles]`: the hashes of the documents' n-grams.
        offsets: `[documents + 1]`: the start of each document in `hashes`. The signature of a
            document without n-grams has no meaning.
        num_hashes: The number of hash functions.
    """
    factors, summands = (hash64(part, np.arange(num_hashes)) for part in (_FACTORS, _SUMMANDS))
    found = np.zeros((len(offsets) - 1, num_hashes), np.uint32)
    documents = np.flatnonzero(np.diff(offsets))
    starts = offsets[documents]
    for part in np.split(np.arange(len(documents)), _cuts(starts)):
        if not len(part):
            continue
        first, end = starts[part[0]], offsets[documents[part[-1]] + 1]
        values = hashes[first:end] >> _HALF
        smallest = np.empty((num_hashes, len(part)), np.uint64)
        for number in range(num_hashes):
            hashed = values * factors[number]
            hashed += summands[number]
            np.minimum.reduceat(hashed, starts[part] - first, out=smallest[number])
        found[documents[part]] = (smallest >> _HALF).T
    return found


def band_hash(signature_part: NDArray[np.uint32]) -> UInt64Array:
    """Hashes the values of a band, `[documents, hashes_per_bucket]`, to `[documents]`."""
    return hash64(*signature_part.T)


def estimated_similarity(
    first: NDArray[np.uint32], second: NDArray[np.uint32]
) -> NDArray[np.floating[Any]]:
    """Returns `[pairs]`: the estimated Jaccard index of pairs of signatures.

    The standard error of the estimate J is sqrt(J (1 - J) / num_hashes).

    Args:
        first: `[pairs, num_hashes]`.
        second: `[pairs, num_hashes]`.
    """
    similarity: NDArray[np.floating[Any]] = np.mean(first == second, axis=1)
    return similarity


def _consecutive(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the integers of all ranges from `starts[i]` with `lengths[i]` integers."""
    shifts = starts - offsets_of(lengths)[:-1]
    consecutive: NDArray[np.int64] = np.repeat(shifts, lengths) + np.arange(lengths.sum())
    return consecutive


def _cuts(starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the documents at which blocks of about `_SHINGLES_AT_ONCE` start."""
    blocks = starts // _SHINGLES_AT_ONCE
    return np.flatnonzero(np.diff(blocks)) + 1
