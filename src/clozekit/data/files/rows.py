"""The rows of a file: one reader for training, evaluation and prediction.

A cell is what stands in the file. Cells of CSV and TSV are text, and no type is inferred from it;
JSON, Parquet and Arrow have types of their own. Files are read from their start each time, row by
row, so memory use does not grow with them, and nothing is cached.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from clozekit.data.files.arrow_rows import (
    arrow_columns,
    arrow_rows,
    class_names_of,
    parquet_columns,
    parquet_rows,
    schema_of,
)
from clozekit.data.files.cells import as_name as as_name
from clozekit.data.files.cells import is_missing as is_missing
from clozekit.data.files.cells import ordered_names as ordered_names
from clozekit.data.files.delimited import csv_columns, csv_rows, tsv_columns, tsv_rows
from clozekit.data.files.json_rows import json_columns, json_rows, jsonl_columns, jsonl_rows
from clozekit.data.files.json_text import repeated
from clozekit.data.files.opening import check_is_file
from clozekit.data.files.row import BadRow, FileRow, NoRowsError
from clozekit.data.files.row import Rows as Rows
from clozekit.errors import DataError
from clozekit.storage.compression import endings

MISSING_LABEL = -100
"""The label that torch's losses ignore. It is used in batches only: in a file, -100 is a value."""


class _Format(NamedTuple):
    columns: Callable[[str], Sequence[str]]
    rows: Callable[[str, Sequence[str] | None], Iterator[FileRow | BadRow]]


_ARROW = _Format(arrow_columns, arrow_rows)
_PARQUET = _Format(parquet_columns, parquet_rows)
FORMATS = {
    ".csv": _Format(csv_columns, csv_rows),
    ".tsv": _Format(tsv_columns, tsv_rows),
    ".json": _Format(json_columns, json_rows),
    ".jsonl": _Format(jsonl_columns, jsonl_rows),
    ".parquet": _PARQUET,
    ".arrow": _ARROW,
    ".feather": _ARROW,
}
"""How each format is read, by its ending (without that of its compression)."""


def is_rows_file(path: str) -> bool:
    """Whether a file has one of the endings of rows, with or without that of a compression."""
    ending, compression = endings(path)
    return ending in FORMATS and not (compression and FORMATS[ending] in (_ARROW, _PARQUET))


def read_file(path: str, columns: Sequence[str] | None = None) -> Rows:
    """Reads a CSV, TSV, JSON, JSONL, Parquet, Arrow or Feather file.

    Text formats may be compressed, with one of the endings .gz, .bz2, .xz and .zst.

    Args:
        path: The file.
        columns: The columns that are needed; None for all. Rows may have others too.

    Raises:
        DataError: The file does not exist or cannot be read.
        NoRowsError: It has no rows.
    """
    if not is_rows_file(path):
        raise DataError(
            f"{path} must end in one of {', '.join(FORMATS)}; those of text (.csv, .tsv, .json, "
            ".jsonl) may be followed by .gz, .bz2, .xz or .zst"
        )
    check_is_file(path)
    ending, _ = endings(path)
    is_columnar = FORMATS[ending] in (_ARROW, _PARQUET)
    found = FORMATS[ending].columns(path)
    read = partial(FORMATS[ending].rows, path, columns)
    if next(read(), None) is None:
        raise NoRowsError(f"{path} has no rows")
    schema = schema_of(path, FORMATS[ending] is _PARQUET) if is_columnar else None
    names = {} if schema is None else class_names_of(schema)
    for column, classes in names.items():
        if (twice := repeated(classes)) is not None:
            raise DataError(f"{path}: the column {column!r} declares the class {twice!r} twice")
    return Rows(path, found, read, class_names=names)
