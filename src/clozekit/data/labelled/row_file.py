"""Chunks of rows in Arrow's file format: in memory, or memory-mapped from a file."""

import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from clozekit.errors import DataError
from clozekit.files import write_atomically

CHUNK_ROWS = 4096
"""The number of rows of every chunk but the last, so that a row's chunk follows from its number."""

MOST_BYTES_IN_MEMORY = 2**24
"""Chunks of more bytes than this are put in a file."""

_READ_BEFORE_RELEASE = 2**6
"""Mapped pages are released after this many rows: readahead maps up to 1 MiB per row."""


class RowFile:
    """Chunks of rows, read from a memory map or from memory.

    The pages of a memory map count towards a process's memory once they are read. They are released
    from time to time, so that reading a large file in random order needs little memory.

    Args:
        content: A file, or the bytes of one.
    """

    def __init__(self, content: Path | pa.Buffer) -> None:
        self._content = content
        self._map: mmap.mmap | None = None
        self._reads = 0
        if isinstance(content, Path):
            with content.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            content = pa.py_buffer(self._map)
        self._reader = pa.ipc.open_file(pa.BufferReader(content))
        self.num_chunks: int = self._reader.num_record_batches
        self._chunks: list[pa.RecordBatch | None] = [None] * self.num_chunks
        last = self.chunk(self.num_chunks - 1).num_rows
        self.num_rows: int = (self.num_chunks - 1) * CHUNK_ROWS + last

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return self._reader.schema

    @property
    def is_large(self) -> bool:
        """Whether the chunks are in a file."""
        return self._map is not None

    def chunk(self, number: int) -> pa.RecordBatch:
        """Returns a chunk; its columns are not copied."""
        chunk = self._chunks[number]
        if chunk is None:
            chunk = self._chunks[number] = self._reader.get_batch(number)
        return chunk

    def column(self, name: str) -> Iterator[pa.Array]:
        """Yields the parts of a column, one per chunk. They are not copied."""
        for number in range(self.num_chunks):
            chunk = self.chunk(number)
            yield chunk.column(name)
            self.note_reads(chunk.num_rows)

    def note_reads(self, number: int) -> None:
        """Counts rows that were read, and releases the memory map's pages after many."""
        self._reads += number
        if self._reads >= _READ_BEFORE_RELEASE:
            self.release()

    def release(self) -> None:
        """Releases the pages of the memory map that were read; they can be read again."""
        self._reads = 0
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self._content, Path) and not self._content.exists():
            assert self._map is not None
            return RowFile, (pa.py_buffer(bytes(self._map)),)
        return RowFile, (self._content,)


def spooled(chunks: Iterable[pa.RecordBatch], folder: Path | None) -> RowFile:
    """Collects chunks in memory, or in a temporary file if they are large.

    Args:
        chunks: At least one chunk.
        folder: The folder of the temporary file, which is created; None for the system's.
    """
    chunks = iter(chunks)
    held, size = [], 0
    for chunk in chunks:
        held.append(chunk)
        size += chunk.nbytes
        if size > MOST_BYTES_IN_MEMORY:
            return _in_a_temporary_file(chain(held, chunks), folder)
    sink = pa.BufferOutputStream()
    _write(sink, held)
    return RowFile(sink.getvalue())


def write_row_file(path: Path, chunks: Iterable[pa.RecordBatch]) -> None:
    """Writes chunks to a file, atomically.

    Raises:
        DataError: The file cannot be written.
    """
    try:
        with write_atomically(path) as file:
            _write(file, chunks)
    except OSError as error:
        raise _not_written(path, error) from error


def _in_a_temporary_file(chunks: Iterable[pa.RecordBatch], folder: Path | None) -> RowFile:
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(".arrow", ".clozekit-", folder)
    except OSError as error:
        raise _not_written(folder or Path(tempfile.gettempdir()), error) from error
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _write(file, chunks)
        return RowFile(path)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        # The memory map keeps the content until the process ends, however it ends.
        path.unlink(missing_ok=True)


def _write(sink: Any, chunks: Iterable[pa.RecordBatch]) -> None:
    remaining: Iterator[pa.RecordBatch] = iter(chunks)
    first = next(remaining)
    with pa.ipc.new_file(sink, first.schema) as writer:
        for chunk in chain([first], remaining):
            writer.write_batch(chunk)


def _not_written(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: the rows cannot be stored ({error.strerror or error})")
