"""Assigns documents to splits and shards by hashes of their ids.

Nothing here needs all documents at once: duplicates are found within ranges of content hashes, and
the documents that are held out are those below one bound.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clozekit.corpus.manifest import SPLITS, Split
from clozekit.rng import UInt64Array

DUPLICATE = 0
SPLIT_CODES: dict[Split, int] = {split: code for code, split in enumerate(SPLITS, start=1)}
MIN_DOCUMENTS = 2
Rows: TypeAlias = NDArray[np.int64]


class KeyAndRow(NamedTuple):
    """The hash of a document's id, and the document's index in the corpus."""

    key: int
    row: int


@dataclass(frozen=True)
class KeyCounts:
    """The documents of a part of the corpus, without duplicates.

    Attributes:
        documents: Their number.
        below: The number of those whose key is below `key_limit`.
        smallest: Up to three documents with the smallest keys, ascending.
        largest: Up to two documents with the largest keys, ascending.
    """

    documents: int
    below: int
    smallest: Sequence[KeyAndRow]
    largest: Sequence[KeyAndRow]

    @classmethod
    def of(cls, keys: UInt64Array, rows: Rows, validation_fraction: float) -> Self:
        """Counts documents.

        Args:
            keys: `[documents]`: hashes of the documents' ids.
            rows: `[documents]`: their indices in the corpus, ascending.
            validation_fraction: The fraction of all possible keys that is held out.
        """
        below = int(np.count_nonzero(keys < key_limit(validation_fraction)))
        ends = np.argsort(keys, kind="stable")
        ends = np.unique(np.concatenate([ends[: MIN_DOCUMENTS + 1], ends[-MIN_DOCUMENTS:]]))
        found = sorted(KeyAndRow(int(keys[i]), int(rows[i])) for i in ends)
        return cls(len(keys), below, found[: MIN_DOCUMENTS + 1], found[-MIN_DOCUMENTS:])

    @classmethod
    def sum(cls, parts: Iterable[Self]) -> Self:
        """Adds the counts of all parts."""
        parts = list(parts)
        smallest = sorted(KeyAndRow(*each) for part in parts for each in part.smallest)
        largest = sorted(KeyAndRow(*each) for part in parts for each in part.largest)
        return cls(
            sum(part.documents for part in parts),
            sum(part.below for part in parts),
            smallest[: MIN_DOCUMENTS + 1],
            largest[-MIN_DOCUMENTS:],
        )

    def bound(self, validation_fraction: float) -> KeyAndRow:
        """Returns the bound below which documents are held out for validation.

        A document's split depends only on its own key, not on the other documents, unless a split
        would otherwise have fewer than two documents. There must be at least four documents.
        """
        if self.below < MIN_DOCUMENTS:
            return self.smallest[MIN_DOCUMENTS]
        if self.below > self.documents - MIN_DOCUMENTS:
            return self.largest[0]
        return KeyAndRow(int(key_limit(validation_fraction)), 0)


def key_limit(validation_fraction: float) -> np.uint64:
    """Returns the key below which a fraction of all possible keys lies."""
    return np.uint64(validation_fraction * 2.0**64)


def later_of_equal(contents: UInt64Array, rows: Rows) -> Rows:
    """Finds duplicates.

    Args:
        contents: `[documents]`: hashes of the documents' texts.
        rows: `[documents]`: the documents' indices in the corpus.

    Returns:
        The rows, ascending, of all documents but the first of those with equal text.
    """
    order = np.lexsort((rows, contents))
    contents = contents[order]
    later: Rows = rows[order][1:][contents[1:] == contents[:-1]]
    return np.sort(later)


def split_codes(
    keys: UInt64Array, rows: Rows, is_kept: NDArray[np.bool_], bound: KeyAndRow
) -> NDArray[np.uint8]:
    """Returns `[documents]`: one of `SPLIT_CODES`, or `DUPLICATE` for those that are not kept."""
    key = np.uint64(bound.key)
    is_held_out = (keys < key) | ((keys == key) & (rows < bound.row))
    codes = np.where(is_held_out, SPLIT_CODES["validation"], SPLIT_CODES["train"])
    return np.where(is_kept, codes, DUPLICATE).astype(np.uint8)


def shard_keys(keys: UInt64Array) -> UInt64Array:
    """Returns the lower half of the bits, because the upper half decides the split."""
    return keys & np.uint64(2**32 - 1)


def shard_bounds(num_shards: int) -> UInt64Array:
    """Returns bounds `[shards + 1]`: shard i has the shard keys from bound i up to bound i + 1."""
    return np.array([-(-i * 2**32 // num_shards) for i in range(num_shards + 1)], np.uint64)


def most_shards(num_documents: int, num_tokens: int, shard_tokens: int) -> int:
    """Returns the number of shards of about `shard_tokens`, with two documents each on average."""
    most = max(1, num_documents // MIN_DOCUMENTS)
    return int(np.clip(round(num_tokens / shard_tokens), 1, most))


def count_shards(sorted_shard_keys: UInt64Array, num_shards: int) -> int:
    """Returns the largest number of shards, up to `num_shards`, with at least two documents each.

    Args:
        sorted_shard_keys: `[documents]`, ascending.
        num_shards: The wanted number.
    """
    while num_shards > 1 and _smallest_shard(sorted_shard_keys, num_shards) < MIN_DOCUMENTS:
        num_shards -= 1
    return num_shards


def _smallest_shard(sorted_shard_keys: NDArray[np.unsignedinteger[Any]], num_shards: int) -> int:
    cuts = np.searchsorted(sorted_shard_keys, shard_bounds(num_shards))
    return int(np.diff(cuts).min())
