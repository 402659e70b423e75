"""Assigns documents to splits and shards by hashes of their ids."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clozekit.corpus.manifest import SPLITS, Split
from clozekit.errors import DataError
from clozekit.rng import UInt64Array

DUPLICATE = 0
SPLIT_CODES: dict[Split, int] = {split: code for code, split in enumerate(SPLITS, start=1)}
MIN_DOCUMENTS = 2


def assign_splits(
    keys: UInt64Array,
    contents: UInt64Array,
    validation_fraction: float,
    source: str,
    hint: str = "",
) -> NDArray[np.uint8]:
    """Holds out the documents with the smallest keys.

    A document's split depends only on its own key, not on the other documents, unless a split would
    otherwise have fewer than two documents.

    Args:
        keys: `[documents]`: hashes of the documents' ids.
        contents: `[documents]`: hashes of their texts. All but the first of equal ones are dropped.
        validation_fraction: The fraction of all possible keys that is held out.
        source: The name of the source for error messages.
        hint: How to get more documents, for error messages.

    Returns:
        `[documents]`: one of `SPLIT_CODES`, or `DUPLICATE`.

    Raises:
        DataError: There are fewer than four distinct documents.
    """
    firsts = np.unique(contents, return_index=True)[1]
    if not len(firsts):
        raise DataError(f"{source} does not contain any text")
    if len(firsts) < MIN_DOCUMENTS * len(SPLITS):
        raise DataError(
            f"{source} has only {len(firsts)} distinct documents with text; at least "
            f"{MIN_DOCUMENTS * len(SPLITS)} are required, two for training and two for validation"
            f"{hint}"
        )
    by_key = np.sort(firsts)[np.argsort(keys[np.sort(firsts)], kind="stable")]
    below = int(np.searchsorted(keys[by_key], np.uint64(validation_fraction * 2.0**64)))
    held_out = int(np.clip(below, MIN_DOCUMENTS, len(by_key) - MIN_DOCUMENTS))
    splits = np.full(len(keys), DUPLICATE, np.uint8)
    splits[by_key] = SPLIT_CODES["train"]
    splits[by_key[:held_out]] = SPLIT_CODES["validation"]
    return splits


def shard_keys(keys: UInt64Array) -> UInt64Array:
    """Returns the lower half of the bits, because the upper half decides the split."""
    return keys & np.uint64(2**32 - 1)


def shard_bounds(num_shards: int) -> UInt64Array:
    """Returns bounds `[shards + 1]`: shard i has the shard keys from bound i up to bound i + 1."""
    return np.array([-(-i * 2**32 // num_shards) for i in range(num_shards + 1)], np.uint64)


def count_shards(sorted_shard_keys: UInt64Array, num_tokens: int, shard_tokens: int) -> int:
    """Returns the number of shards of about `shard_tokens`, with at least two documents each.

    Args:
        sorted_shard_keys: `[documents]`, ascending.
        num_tokens: The number of tokens of all documents.
        shard_tokens: The target size of a shard.
    """
    most = max(1, len(sorted_shard_keys) // MIN_DOCUMENTS)
    num_shards = int(np.clip(round(num_tokens / shard_tokens), 1, most))
    while num_shards > 1 and _smallest_shard(sorted_shard_keys, num_shards) < MIN_DOCUMENTS:
        num_shards -= 1
    return num_shards


def _smallest_shard(sorted_shard_keys: NDArray[np.unsignedinteger[Any]], num_shards: int) -> int:
    cuts = np.searchsorted(sorted_shard_keys, shard_bounds(num_shards))
    return int(np.diff(cuts).min())
