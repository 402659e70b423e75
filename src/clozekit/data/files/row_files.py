"""Rows to predict on, read one after the other, so that memory does not grow with the file."""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from clozekit.data.files.rows import endings
from clozekit.errors import DataError

# One field of a CSV file may be a whole document.
_LONGEST_FIELD = 2**31 - 1


class BadRow:
    """A row that is not what its file's format asks for.

    Attributes:
        problem: What it is.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem


NamedRow = tuple[int, dict[str, Any] | BadRow]
"""A row with its line, from 1."""


def read_row_file(path: str, progress: Callable[[int], None] | None = None) -> Iterator[NamedRow]:
    """Reads a JSONL, CSV or TSV file, gzipped or not, row by row.

    Args:
        path: The file.
        progress: Told how many bytes of the file have been read, now and then.

    Yields:
        Every row with its line; blank lines are passed over.

    Raises:
        DataError: There is no such file, or it is not of such a format, or not UTF-8.
    """
    ending, is_gzipped = endings(path)
    readers = {".jsonl": _read_jsonl, ".csv": _read_csv, ".tsv": _read_tsv}
    if ending not in readers:
        raise DataError(f"{path}: the file's ending is not one of {', '.join(readers)} (or .gz)")
    if not Path(path).is_file():
        raise DataError(f"{path}: there is no such file")
    line = 0
    with Path(path).open("rb") as raw, ExitStack() as stack:
        content: Any = stack.enter_context(gzip.open(raw, "rb")) if is_gzipped else raw
        try:
            for line, row in readers[ending](TextIOWrapper(content, "utf-8-sig", newline="")):
                if progress is not None and line % 256 == 0:
                    progress(raw.tell())
                yield line, row
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: behind line {line}, it is not UTF-8") from error
        except (OSError, EOFError, zlib.error, csv.Error) as error:
            raise DataError(f"{path}: behind line {line}, it cannot be read ({error})") from error


def _read_jsonl(text: TextIOWrapper) -> Iterator[NamedRow]:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            yield number, BadRow(f"it is not JSON ({error})")
            continue
        yield number, row if isinstance(row, dict) else BadRow("it is not a JSON object")


def _read_csv(text: TextIOWrapper) -> Iterator[NamedRow]:
    csv.field_size_limit(_LONGEST_FIELD)
    # Strict, for else a quote that nothing closes swallows the rest of the file.
    return _read_table(csv.reader(text, strict=True))


def _read_tsv(text: TextIOWrapper) -> Iterator[NamedRow]:
    csv.field_size_limit(_LONGEST_FIELD)
    return _read_table(csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE))


def _read_table(reader: Any) -> Iterator[NamedRow]:
    columns: list[str] = next(reader, [])
    next_line = reader.line_num + 1
    for values in reader:
        # A row may have several lines, of which its first is told.
        line, next_line = next_line, reader.line_num + 1
        if not values:
            continue
        if len(values) == len(columns):
            yield line, dict(zip(columns, values, strict=True))
        else:
            problem = f"it has {len(values)} columns, where the header has {len(columns)}"
            yield line, BadRow(problem)
