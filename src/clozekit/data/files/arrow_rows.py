"""Parquet and Arrow files, whose columns have types of their own."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import ipc, parquet

from clozekit.data.files.json_text import repeated
from clozekit.data.files.row import BadRow, FileRow
from clozekit.errors import DataError, first_line

_ROWS_AT_ONCE = 1000

_ENDS_OF_STREAM = (b"\xff\xff\xff\xff\0\0\0\0", b"\0\0\0\0")
"""The marker, and that of versions of Arrow before 0.15."""


def parquet_columns(path: str) -> list[str]:
    """Returns the columns of a Parquet file."""
    with _opened(path, "Parquet"), parquet.ParquetFile(path) as file:
        return checked_columns(path, file.schema_arrow)


def parquet_rows(path: str, wanted: Sequence[str] | None = None) -> Iterator[FileRow | BadRow]:
    """Reads the wanted columns of a Parquet file, or all of them."""
    with _opened(path, "Parquet"), parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        columns = _chosen(checked_columns(path, schema), wanted)
        batches = file.iter_batches(_ROWS_AT_ONCE, columns=columns)
        yield from _rows(batches, class_names_of(schema))


def arrow_columns(path: str) -> list[str]:
    """Returns the columns of an Arrow file or stream."""
    with _opened(path, "Arrow"), pa.OSFile(path) as source:
        return checked_columns(path, _reader(source, None).schema)


def arrow_rows(path: str, wanted: Sequence[str] | None = None) -> Iterator[FileRow | BadRow]:
    """Reads the wanted columns of an Arrow file or stream, or all of them."""
    with _opened(path, "Arrow"), pa.OSFile(path) as source:
        schema = _reader(source, None).schema
        columns = _chosen(checked_columns(path, schema), wanted)
        source.seek(0)
        reader = _reader(source, [schema.names.index(column) for column in columns])
        batches = (
            (reader.get_batch(number) for number in range(reader.num_record_batches))
            if isinstance(reader, ipc.RecordBatchFileReader)
            else _batches_of_stream(reader, source)
        )
        yield from _rows(batches, class_names_of(schema))


def schema_of(path: str, is_parquet: bool) -> pa.Schema:
    """Returns the schema of a Parquet or Arrow file."""
    if is_parquet:
        with _opened(path, "Parquet"), parquet.ParquetFile(path) as file:
            return file.schema_arrow
    with _opened(path, "Arrow"), pa.OSFile(path) as source:
        return _reader(source, None).schema


def checked_columns(path: str, schema: pa.Schema) -> list[str]:
    """Returns the columns of a file.

    Raises:
        DataError: Two have the same name.
    """
    names = list(schema.names)
    twice = repeated(names)
    if twice is not None:
        raise DataError(f"{path}: the column {twice!r} occurs twice")
    return names


def class_names_of(schema: pa.Schema) -> dict[str, list[str]]:
    """Returns the names of classes that `datasets` writes into the metadata of a file.

    Returns:
        For each column of classes, or of lists of classes, their names in the order of their ids.
    """
    try:
        info = json.loads((schema.metadata or {})[b"huggingface"])
        features = info["info"]["features"].items()
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
    found = {column: _names_in(feature) for column, feature in features}
    return {column: names for column, names in found.items() if names is not None}


def named(value: Any, names: Sequence[str]) -> Any:
    """Returns the name of a class given by its id, or the names of a list of them.

    Raises:
        ValueError: There is no class with this id.
    """
    if isinstance(value, list):
        return [named(each, names) for each in value]
    # Data sets write -1 in splits whose labels are not published.
    if value is None or value == -1:
        return None
    if not isinstance(value, int) or not 0 <= value < len(names):
        raise ValueError(f"the class {value!r} is not one of the {len(names)} that are declared")
    return names[value]


def narrow_columns(schema: pa.Schema) -> dict[str, type[np.floating[Any]]]:
    """Returns the columns of numbers, or of lists of them, with fewer bits than Python's."""
    found: dict[str, type[np.floating[Any]]] = {}
    for column in schema:
        kind = column.type
        while pa.types.is_list(kind) or pa.types.is_large_list(kind):
            kind = kind.value_type
        if pa.types.is_float32(kind) or pa.types.is_float16(kind):
            found[column.name] = np.float32 if pa.types.is_float32(kind) else np.float16
    return found


def shortest(value: Any, kind: type[np.floating[Any]]) -> Any:
    """Returns the number with the shortest text, as it was written: 0.1, not 0.10000000149."""
    if isinstance(value, list):
        return [shortest(each, kind) for each in value]
    return float(str(kind(value))) if isinstance(value, float) else value


def _rows(batches: Any, class_names: Mapping[str, Sequence[str]]) -> Iterator[FileRow | BadRow]:
    number = 0
    for batch in batches:
        # Also compares lengths and offsets, which a damaged file may have wrong.
        batch.validate(full=True)
        narrow = narrow_columns(batch.schema)
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            for cells in batch.slice(start, _ROWS_AT_ONCE).to_pylist():
                number += 1
                place = f"row {number}"
                try:
                    for column in class_names.keys() & cells.keys():
                        cells[column] = named(cells[column], class_names[column])
                except ValueError as error:
                    yield BadRow(str(error), place)
                    continue
                for column, kind in narrow.items():
                    cells[column] = shortest(cells[column], kind)
                yield FileRow(cells, place)


def _names_in(feature: Any) -> list[str] | None:
    """Returns the names of a `ClassLabel`, or of a list of them."""
    if isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    if isinstance(feature, dict) and isinstance(feature.get("feature"), dict):
        feature = feature["feature"]
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return None
    names = feature.get("names")
    is_list_of_names = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if is_list_of_names else None


def _chosen(columns: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    return [column for column in columns if wanted is None or column in wanted]


def _reader(source: Any, fields: list[int] | None) -> Any:
    """Opens an Arrow file, or the stream that `datasets` writes."""
    options = ipc.IpcReadOptions(included_fields=fields)
    magic = source.read(6)
    source.seek(0)
    is_file = magic == b"ARROW1"
    return (ipc.open_file if is_file else ipc.open_stream)(source, options=options)


def _batches_of_stream(reader: Any, source: Any) -> Iterator[Any]:
    """Reads the batches of a stream, and checks that it has its end.

    pyarrow takes the end of the file for that of the stream, so a file that is cut off between two
    batches would lose its last rows.
    """
    at = source.tell()
    for batch in reader:
        at = source.tell()
        yield batch
    source.seek(at)
    if not source.read(8).startswith(_ENDS_OF_STREAM):
        raise ValueError("the stream has no end marker after its last batch, so it is cut off")


@contextmanager
def _opened(path: str, kind: str) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {error.reason}") from error
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path} cannot be read as {kind}: {first_line(error)}") from error
