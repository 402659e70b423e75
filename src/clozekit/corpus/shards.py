"""The shard format: tokenized documents in one memory-mapped Arrow record batch.

Each row is a document with the columns `id: string` and `sentences: list<list<uint16>>` (uint32 for
a vocabulary of more than 65,536 tokens). Arrow stores nested lists as one array of values and two
arrays of offsets (https://arrow.apache.org/docs/format/Columnar.html), so no separate index is
needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clozekit.errors import DataError
from clozekit.files import write_atomically

TokenArray: TypeAlias = NDArray[np.uint16] | NDArray[np.uint32]
OffsetArray: TypeAlias = NDArray[np.int32]


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """Returns the smaller of the two token types that can hold every id of a vocabulary."""
    return np.dtype(np.uint16 if vocab_size <= 2**16 else np.uint32)


@dataclass(frozen=True, eq=False)
class Shard:
    """A memory-mapped shard. Data is read when it is used, and never copied.

    Attributes:
        path: The file.
        tokens: `[tokens]`, uint16 or uint32: the concatenated token ids of all sentences.
        sentence_offsets: `[sentences + 1]`, int32: the start of each sentence in `tokens`.
        document_offsets: `[documents + 1]`, int32: the first sentence of each document.
        id_array: `[documents]`: the documents' ids as an Arrow array.
        num_bytes: The size of the file when it was opened; None if it was not opened from a file.
    """

    path: Path
    tokens: TokenArray
    sentence_offsets: OffsetArray
    document_offsets: OffsetArray
    id_array: Any = field(repr=False)
    num_bytes: int | None = None

    @classmethod
    def open(cls, path: Path, documents: slice | None = None) -> Self:
        """Memory-maps a shard file.

        Args:
            path: The file.
            documents: The documents to read. The time does not depend on the other documents of
                the file, which are not checked.

        Raises:
            DataError: The file does not exist, is incomplete, or is not a shard.
        """
        num_bytes = path.stat().st_size if path.is_file() else 0
        batch = _map_record_batch(path, is_checked=documents is None)
        ids, lists = batch.column("id"), batch.column("sentences")
        if documents is not None:
            ids, lists = ids[documents], lists[documents]
            ids.validate(full=True)
        # An Arrow list array may use only a slice of its values; drop the rest.
        document_offsets, sentences = _used(path, lists)
        sentence_offsets, tokens = _used(path, sentences)
        return cls(
            path=path,
            tokens=tokens.to_numpy(zero_copy_only=True),
            sentence_offsets=sentence_offsets,
            document_offsets=document_offsets,
            id_array=ids,
            num_bytes=num_bytes,
        )

    def check_size(self) -> None:
        """Checks that the file has the size that it was opened with.

        The kernel kills a process that reads from a mapped file behind its end.

        Raises:
            DataError: The file was cut or rewritten.
        """
        try:
            num_bytes = self.path.stat().st_size
        except OSError:
            return  # What is mapped of a removed file can still be read.
        if self.num_bytes is not None and num_bytes != self.num_bytes:
            raise DataError(
                f"{self.path} was changed while it was read: it had {self.num_bytes:,} bytes and "
                f"has {num_bytes:,}; prepare the corpus again"
            )

    @cached_property
    def ids(self) -> list[str]:
        """The documents' ids."""
        ids: list[str] = self.id_array.to_pylist()
        return ids

    @property
    def num_documents(self) -> int:
        """The number of documents."""
        return len(self.document_offsets) - 1

    @property
    def num_sentences(self) -> int:
        """The number of sentences."""
        return len(self.sentence_offsets) - 1

    @property
    def num_tokens(self) -> int:
        """The number of tokens."""
        return len(self.tokens)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).open, (self.path,)


def write_shard(
    path: Path,
    ids: Sequence[str] | pa.StringArray,
    tokens: TokenArray,
    sentence_offsets: NDArray[np.integer[Any]],
    document_offsets: NDArray[np.integer[Any]],
) -> None:
    """Writes a shard atomically.

    Args:
        path: The file to write.
        ids: `[documents]`: the documents' ids.
        tokens: `[tokens]`, uint16 or uint32.
        sentence_offsets: `[sentences + 1]`, from 0 to the number of tokens, at most 2**31 - 1.
        document_offsets: `[documents + 1]`, from 0 to the number of sentences.
    """
    sentences = pa.ListArray.from_arrays(_offsets(sentence_offsets), pa.array(tokens))
    documents = pa.ListArray.from_arrays(_offsets(document_offsets), sentences)
    id_array = ids if isinstance(ids, pa.StringArray) else pa.array(ids, pa.string())
    batch = pa.record_batch({"id": id_array, "sentences": documents})
    write_record_batch(path, batch)


def write_record_batch(path: Path, batch: pa.RecordBatch) -> None:
    """Writes an Arrow IPC file with one uncompressed record batch, atomically."""
    with write_atomically(path) as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def _offsets(offsets: NDArray[np.integer[Any]]) -> pa.Int32Array:
    if offsets[-1] >= 2**31:
        raise DataError(
            f"a shard can have at most {2**31 - 1:,} tokens, but this one has {offsets[-1]:,}"
        )
    return pa.array(offsets.astype(np.int32, copy=False))


def _map_record_batch(path: Path, is_checked: bool) -> pa.RecordBatch:
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        _check_columns(path, reader.schema)
        num_batches = reader.num_record_batches
        if num_batches != 1:
            raise DataError(
                f"{path} is not a shard: it has {num_batches} record batches instead of 1"
            )
        batch = reader.get_batch(0)
        # Arrow trusts the lengths and offsets in a file; wrong ones would crash the process.
        batch.validate(full=is_checked)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (pa.ArrowException, OSError, MemoryError) as error:
        raise DataError(f"{path} is not a complete Arrow file: {error}") from None
    documents = batch.column("sentences")
    levels = (batch.column("id"), documents, documents.values, documents.values.values)
    if any(level.null_count for level in levels):
        raise DataError(f"{path} is not a shard: it contains nulls")
    # A compressed file could be a thousand times as large in memory as on disk.
    if batch.nbytes > path.stat().st_size:
        raise DataError(f"{path} is not a shard: it is compressed")
    return batch


def _check_columns(path: Path, schema: pa.Schema) -> None:
    columns = {column.name: column.type for column in schema}
    token_lists = [pa.list_(pa.list_(token)) for token in (pa.uint16(), pa.uint32())]
    is_shard = columns.get("id") == pa.string() and columns.get("sentences") in token_lists
    if not is_shard or len(schema) != len(columns):
        raise DataError(
            f"{path} is not a shard: its columns are "
            f"{', '.join(f'{name}: {kind}' for name, kind in columns.items())} "
            "instead of id: string, sentences: list<list<uint16 or uint32>>"
        )


def _used(path: Path, lists: pa.ListArray) -> tuple[OffsetArray, pa.Array]:
    """Returns the offsets of a list array, shifted to start at 0, and the values they refer to."""
    offsets: OffsetArray = lists.offsets.to_numpy(zero_copy_only=True)
    first, last = int(offsets[0]), int(offsets[-1])
    if first < 0 or last > len(lists.values) or np.any(offsets[1:] < offsets[:-1]):
        raise DataError(f"{path} is not a complete Arrow file: its offsets do not fit")
    values = lists.values.slice(first, last - first)
    return (offsets - np.int32(first) if first else offsets), values
