"""Converts encoded rows to Arrow columns, one row per example, and chosen rows back to arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clozekit.corpus.shards import token_dtype
from clozekit.data.labelled.encoded_rows import EncodedRows
from clozekit.data.labelled.fields import Axis, FieldLayout, layouts_of
from clozekit.data.labelled.row_file import CHUNK_ROWS, RowFile
from clozekit.data.labelled.sequences import Sequences

_COMMON = ("examples", "sequences", "owners", "num_targets", "is_truncated")
LENGTHS, NUM_TARGETS, IS_TRUNCATED = "lengths", "num_targets", "is_truncated"
"""Columns that are read for all rows: lists with a number per sequence, and 0 or 1."""

Rows = EncodedRows[Any]


def can_be_stored(kind: type[Rows]) -> bool:
    """Whether all fields of a class of encoded rows are declared (`clozekit…labelled.fields`)."""
    return layouts_of(kind, _COMMON) is not None


def to_columns(rows: Rows, vocab_size: int) -> pa.RecordBatch:
    """Converts encoded rows to columns.

    Args:
        rows: The rows.
        vocab_size: The number of token ids.
    """
    layouts = layouts_of(type(rows), _COMMON)
    assert layouts is not None
    num_rows = len(rows.examples)
    sequences = _starts(np.bincount(rows.owners, minlength=num_rows))
    tokens = _starts(rows.lengths)[sequences]
    ids = rows.sequences.input_ids.astype(token_dtype(vocab_size))
    columns = {
        "input_ids": _lists(ids, tokens),
        "token_type_ids": _lists(rows.sequences.token_type_ids, tokens),
        LENGTHS: _lists(rows.lengths.astype(np.int32), sequences),
        NUM_TARGETS: _lists(rows.num_targets.astype(np.int32), sequences),
        IS_TRUNCATED: pa.array(rows.is_truncated.astype(np.uint8)),
    }
    for name, layout in layouts.items():
        value = getattr(rows, name)
        if layout.axis is Axis.CONSTANT:
            columns[name] = pa.array(np.full(num_rows, value, np.int32))
        elif layout.axis is Axis.ROW:
            columns[name] = _matrix(_stored(value, layout))
        elif layout.axis is Axis.SEQUENCE:
            columns[name] = _lists(_stored(value, layout), sequences)
        elif layout.axis is Axis.ITEM:
            items = _starts(getattr(rows, str(layout.sizes)))[sequences]
            columns[name] = _lists(_stored(value, layout), items)
        else:
            sizes = np.array([len(array) for array in value], np.int32)
            columns[_sizes_of(name)] = _lists(sizes, sequences)
            every = np.concatenate([np.empty((0, layout.width), np.int64), *value])
            items = _starts(sizes)[sequences] * layout.width
            columns[name] = _lists(_stored(every, layout).ravel(), items)
    return pa.record_batch(columns)


class ChosenRows:
    """Reads chosen rows from a file of encoded rows.

    Args:
        file: The file.
        kind: The class of the rows.
    """

    def __init__(self, file: RowFile, kind: type[Rows]) -> None:
        self.file = file
        self.kind = kind
        self._chunks: list[_Chunk | None] = [None] * file.num_chunks

    def read(self, places: NDArray[np.integer[Any]], examples: Sequence[Any]) -> Rows:
        """Reads rows.

        Args:
            places: `[chosen]`. The rows' numbers, at least one.
            examples: Their examples, if they are needed.
        """
        self.file.note_reads(len(places))
        found = [
            (self._chunk(place // CHUNK_ROWS), place % CHUNK_ROWS) for place in places.tolist()
        ]

        def lists(name: str) -> list[NDArray[Any]]:
            return [chunk.of_row(name, row) for chunk, row in found]

        def values(name: str) -> NDArray[Any]:
            return np.concatenate(lists(name))

        lengths = lists(LENGTHS)
        arguments: dict[str, Any] = {
            "examples": examples,
            "sequences": Sequences(
                input_ids=values("input_ids").astype(np.int32),
                token_type_ids=values("token_type_ids"),
                lengths=np.concatenate(lengths).astype(np.int64),
            ),
            "owners": np.repeat(np.arange(len(found)), [len(of_row) for of_row in lengths]),
            NUM_TARGETS: values(NUM_TARGETS).astype(np.int64),
            IS_TRUNCATED: np.array([chunk.at(IS_TRUNCATED, row) for chunk, row in found], bool),
        }
        layouts = layouts_of(self.kind, _COMMON)
        assert layouts is not None
        for name, layout in layouts.items():
            if layout.axis is Axis.CONSTANT:
                chunk, row = found[0]
                arguments[name] = int(chunk.at(name, row))
            elif layout.axis is Axis.ROW:
                arguments[name] = _restored(np.stack([chunk.at(name, row) for chunk, row in found]))
            elif layout.axis is Axis.ARRAYS:
                every = _restored(values(name)).reshape(-1, layout.width)
                ends = np.cumsum(values(_sizes_of(name)))
                arguments[name] = np.split(every, ends[:-1])
            else:
                arguments[name] = _restored(values(name))
        return self.kind(**arguments)

    def _chunk(self, number: int) -> "_Chunk":
        chunk = self._chunks[number]
        if chunk is None:
            chunk = self._chunks[number] = _Chunk(self.file.chunk(number))
        return chunk

    def __reduce__(self) -> tuple[Any, ...]:
        return ChosenRows, (self.file, self.kind)


class _Chunk:
    """The columns of a chunk as arrays, which are not copied."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._lists: dict[str, tuple[NDArray[np.int32], NDArray[Any]]] = {}
        self._values: dict[str, NDArray[Any]] = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if pa.types.is_list(column.type):
                offsets = column.offsets.to_numpy(zero_copy_only=True)
                self._lists[name] = offsets, column.values.to_numpy(zero_copy_only=True)
            elif pa.types.is_fixed_size_list(column.type):
                flat = column.flatten().to_numpy(zero_copy_only=True)
                self._values[name] = flat.reshape(-1, column.type.list_size)
            else:
                self._values[name] = column.to_numpy(zero_copy_only=True)

    def of_row(self, name: str, row: int) -> NDArray[Any]:
        """Returns the list of a row."""
        offsets, values = self._lists[name]
        return values[offsets[row] : offsets[row + 1]]

    def at(self, name: str, row: int) -> Any:
        """Returns the number, or the array, of a row."""
        return self._values[name][row]


def _sizes_of(name: str) -> str:
    return f"{name}.sizes"


def _starts(sizes: NDArray[Any]) -> NDArray[np.int64]:
    """Returns `[sizes + 1]`: the start of each part, and the end of the last."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _lists(values: NDArray[Any], starts: NDArray[np.int64]) -> pa.ListArray:
    # A chunk of CHUNK_ROWS rows has fewer than 2**31 tokens.
    return pa.ListArray.from_arrays(pa.array(starts.astype(np.int32)), pa.array(values))


def _matrix(values: NDArray[Any]) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _stored(values: NDArray[Any], layout: FieldLayout) -> NDArray[Any]:
    return values if layout.dtype is None else values.astype(layout.dtype)


def _restored(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.int64) if values.dtype.kind == "i" else values
