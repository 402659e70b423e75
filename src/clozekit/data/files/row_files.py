"""Rows for prediction, read one at a time so that memory use does not grow with the file."""

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

# A single field of a CSV file may be a whole document.
_LONGEST_FIELD = 2**31 - 1


class BadRow:
    """A row that does not match the format of its file.

    Attributes:
        problem: What is wrong with it.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem


NamedRow = tuple[int, dict[str, Any] | BadRow]
"""A line number, from 1, and the row on that line."""


def read_row_file(path: str, progress: Callable[[int], None] | None = None) -> Iterator[NamedRow]:
    """Reads a JSONL, CSV or TSV file row by row; the file may be gzipped.

    Args:
        path: The file.
        progress: Called from time to time with the number of bytes read so far.

    Yields:
        Each row with its line number. Blank lines are skipped.

    Raises:
        DataError: The file does not exist, has another format, or is not UTF-8.
    """
    ending, is_gzipped = endings(path)
    readers = {".jsonl": _read_jsonl, ".csv": _read_csv, ".tsv": _read_tsv}
    if ending not in readers:
        raise DataError(f"{path} must end in one of {', '.join(readers)}, or one of these plus .gz")
    if not Path(path).is_file():
        raise DataError(f"{path} does not exist")
    line = 0
    with Path(path).open("rb") as raw, ExitStack() as stack:
        content: Any = stack.enter_context(gzip.open(raw, "rb")) if is_gzipped else raw
        try:
            for line, row in readers[ending](TextIOWrapper(content, "utf-8-sig", newline="")):
                if progress is not None and line % 256 == 0:
                    progress(raw.tell())
                yield line, row
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not UTF-8 after line {line}") from error
        except (OSError, EOFError, zlib.error, csv.Error) as error:
            raise DataError(f"{path} cannot be read after line {line}: {error}") from error


def _read_jsonl(text: TextIOWrapper) -> Iterator[NamedRow]:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            yield number, BadRow(f"the line is not JSON: {error}")
            continue
        yield number, row if isinstance(row, dict) else BadRow("the line is not a JSON object")


def _read_csv(text: TextIOWrapper) -> Iterator[NamedRow]:
    csv.field_size_limit(_LONGEST_FIELD)
    # Without strict, an unclosed quote would swallow the rest of the file.
    return _read_table(csv.reader(text, strict=True))


def _read_tsv(text: TextIOWrapper) -> Iterator[NamedRow]:
    csv.field_size_limit(_LONGEST_FIELD)
    return _read_table(csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE))


def _read_table(reader: Any) -> Iterator[NamedRow]:
    columns: list[str] = next(reader, [])
    next_line = reader.line_num + 1
    for values in reader:
        # A row may span several lines; report its first.
        line, next_line = next_line, reader.line_num + 1
        if not values:
            continue
        if len(values) == len(columns):
            yield line, dict(zip(columns, values, strict=True))
        else:
            problem = f"the row has {len(values)} columns, but the header has {len(columns)}"
            yield line, BadRow(problem)
