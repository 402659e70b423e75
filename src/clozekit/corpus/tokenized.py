"""Tokenized documents in memory, with vectorized filtering, slicing and concatenation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clozekit.corpus.shards import Shard, TokenArray, write_shard


@dataclass(frozen=True, eq=False)
class TokenizedDocuments:
    """Tokenized documents in the layout of a shard.

    Attributes:
        ids: `[documents]`, an Arrow array of strings.
        tokens: `[tokens]`, uint16 or uint32.
        sentence_offsets: `[sentences + 1]`, from 0.
        document_offsets: `[documents + 1]`, from 0.
    """

    ids: Any
    tokens: TokenArray
    sentence_offsets: NDArray[np.integer[Any]]
    document_offsets: NDArray[np.integer[Any]]

    @classmethod
    def open(cls, path: Path, first: int, last: int) -> Self:
        """Memory-maps the documents of a file from `first` up to, but not including, `last`."""
        shard = Shard.open(path, slice(first, last))
        return cls(shard.id_array, shard.tokens, shard.sentence_offsets, shard.document_offsets)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Concatenates one or more parts."""
        return cls(
            pa.concat_arrays([part.ids for part in parts]),
            np.concatenate([part.tokens for part in parts]),
            offsets_of(np.concatenate([np.diff(part.sentence_offsets) for part in parts])),
            offsets_of(np.concatenate([np.diff(part.document_offsets) for part in parts])),
        )

    def take(self, order: NDArray[np.integer[Any]]) -> Self:
        """Returns the documents with these indices, in this order."""
        sentences = pa.ListArray.from_arrays(_int32(self.sentence_offsets), pa.array(self.tokens))
        documents = pa.ListArray.from_arrays(_int32(self.document_offsets), sentences)
        taken = documents.take(pa.array(order))
        return type(self)(
            self.ids.take(pa.array(order)),
            taken.values.values.to_numpy(),
            taken.values.offsets.to_numpy(),
            taken.offsets.to_numpy(),
        )

    def part(self, first: int, last: int) -> Self:
        """Returns the documents from `first` up to, but not including, `last`."""
        sentences = slice(self.document_offsets[first], self.document_offsets[last] + 1)
        sentence_offsets = self.sentence_offsets[sentences]
        return type(self)(
            self.ids.slice(first, last - first),
            self.tokens[sentence_offsets[0] : sentence_offsets[-1]],
            sentence_offsets - sentence_offsets[0],
            self.document_offsets[first : last + 1] - self.document_offsets[first],
        )

    def without_empty(self) -> tuple[Self, NDArray[np.bool_]]:
        """Drops sentences without tokens, and documents without sentences.

        Returns:
            The remaining documents, and `[documents]`: whether each document was kept.
        """
        lengths = np.diff(self.sentence_offsets)
        num_documents = len(self.document_offsets) - 1
        document = np.repeat(np.arange(num_documents), np.diff(self.document_offsets))
        sizes = np.bincount(document[lengths > 0], minlength=num_documents)
        kept = sizes > 0
        left = type(self)(
            self.ids.filter(pa.array(kept)),
            self.tokens,
            offsets_of(lengths[lengths > 0]),
            offsets_of(sizes[kept]),
        )
        return left, kept

    def write(self, path: Path) -> None:
        """Writes the documents as a shard."""
        write_shard(path, self.ids, self.tokens, self.sentence_offsets, self.document_offsets)


def _int32(offsets: NDArray[np.integer[Any]]) -> pa.Int32Array:
    return pa.array(offsets.astype(np.int32, copy=False))


def offsets_of(lengths: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Returns `[n + 1]`: the start offsets of consecutive items, and the end of the last one."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
