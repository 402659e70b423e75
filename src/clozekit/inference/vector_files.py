"""Files of vectors, written row by row: an array of numpy, or Parquet with ids."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clozekit.files import write_atomically
from clozekit.inference.row_predictor import Predictor, RowPredictor
from clozekit.tasks.embedding import EmbeddingModule

VECTOR_FILES = (".npy", ".parquet")
"""The endings of files of vectors."""

_ROWS_AT_ONCE = 8192


class VectorFile(Protocol):
    """A file that vectors are appended to."""

    def write(self, row_id: int | str, vector: Sequence[float]) -> None:
        """Appends a vector."""
        ...

    def finish(self) -> None:
        """Writes what is left."""
        ...


@contextmanager
def open_vectors(path: Path, width: int) -> Iterator[VectorFile]:
    """Opens a file of vectors, which gets its name only when it is complete.

    Args:
        path: A path that ends with one of `VECTOR_FILES`.
        width: The size of the vectors.
    """
    with write_atomically(path) as file:
        is_array = path.suffix.lower() == ".npy"
        vectors = ArrayFile(file, width) if is_array else ParquetFile(file, width)
        try:
            yield vectors
        finally:
            # After an error too: a Parquet file that is not closed would be written to later.
            vectors.finish()


def vector_size(predictor: Predictor) -> int | None:
    """Returns the size of the vectors that a predictor computes; None for other predictions."""
    if isinstance(predictor, RowPredictor) and isinstance(predictor.module, EmbeddingModule):
        return predictor.module.width
    return None


class ArrayFile:
    """An array `[rows, width]` of float32 in numpy's format.

    Args:
        file: The file.
        width: The size of the vectors.
    """

    def __init__(self, file: BinaryIO, width: int) -> None:
        self._file = file
        self._width = width
        self._num_rows = 0
        self._size = self._write_header()

    def write(self, row_id: int | str, vector: Sequence[float]) -> None:
        """Appends a vector; an array has no ids."""
        self._file.write(np.asarray(vector, "<f4").tobytes())
        self._num_rows += 1

    def finish(self) -> None:
        """Writes the number of rows into the header, for which numpy keeps room."""
        self._file.seek(0)
        assert self._write_header() == self._size

    def _write_header(self) -> int:
        shape = (self._num_rows, self._width)
        header = {"shape": shape, "fortran_order": False, "descr": "<f4"}
        np.lib.format.write_array_header_1_0(self._file, header)
        return self._file.tell()


class ParquetFile:
    """A table with the columns `id`, a string, and `vector`, a list of `width` float32.

    Args:
        file: The file.
        width: The size of the vectors.
    """

    def __init__(self, file: BinaryIO, width: int) -> None:
        vector = pa.list_(pa.float32(), width)
        self._schema = pa.schema([("id", pa.string()), ("vector", vector)])
        self._writer = pq.ParquetWriter(file, self._schema)
        self._ids: list[str] = []
        self._values: list[Sequence[float]] = []

    def write(self, row_id: int | str, vector: Sequence[float]) -> None:
        """Appends a vector with its id."""
        self._ids.append(str(row_id))
        self._values.append(vector)
        if len(self._ids) == _ROWS_AT_ONCE:
            self._flush()

    def finish(self) -> None:
        """Writes the remaining rows and the footer."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if not self._ids:
            return
        flat = np.asarray(self._values, np.float32).ravel()
        columns = [
            pa.array(self._ids, pa.string()),
            pa.FixedSizeListArray.from_arrays(pa.array(flat), type=self._schema.field(1).type),
        ]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
        self._ids, self._values = [], []
