"""CSV and TSV. Every cell is text."""

import csv
from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from typing import BinaryIO

from clozekit.data.files.json_text import repeated
from clozekit.data.files.opening import MAX_ROW_BYTES, Lines, opened
from clozekit.data.files.row import BadRow, FileRow
from clozekit.errors import DataError

_Record = tuple[int, list[str] | str]
"""A record's first line, and its cells or what is wrong with it. A blank line has no cells."""

_Records = Callable[[BinaryIO, str, int], Iterator[_Record]]

# What Python's csv says, and what it means.
_PROBLEMS = {
    "unexpected end of data": "a quotation mark is never closed",
    "expected after": 'text follows a quoted cell; write a quotation mark inside it as ""',
    "new-line character": (
        "there is a carriage return outside of quotation marks; lines must end in \\n or \\r\\n"
    ),
}


def csv_columns(path: str) -> list[str]:
    """Returns the columns of a CSV file; none if the file is empty."""
    return _columns(path, _csv_records)


def tsv_columns(path: str) -> list[str]:
    """Returns the columns of a TSV file; none if the file is empty."""
    return _columns(path, _tsv_records)


def csv_rows(
    path: str, wanted: Sequence[str] | None = None, max_bytes: int = MAX_ROW_BYTES
) -> Iterator[FileRow | BadRow]:
    """Reads a CSV file with a header; cells may be quoted.

    Blank lines are skipped, except between the rows of a file with one column, which may be a list
    of texts: there, they are empty cells.

    Raises:
        DataError: A quotation mark is wrong, so that it is unknown where the following rows start.
    """
    return _rows(path, _csv_records, max_bytes)


def tsv_rows(path: str, wanted: Sequence[str] | None = None) -> Iterator[FileRow | BadRow]:
    """Reads a TSV file with a header; quotation marks are text. Blank lines are as in CSV."""
    return _rows(path, _tsv_records, MAX_ROW_BYTES)


def _rows(path: str, records: _Records, max_bytes: int) -> Iterator[FileRow | BadRow]:
    with opened(path) as file:
        header: list[str] | None = None
        blank: list[tuple[str, int]] = []  # places and positions since the last row
        for number, cells in records(file.content, path, max_bytes):
            if not cells:
                if header is not None and len(header) == 1:
                    blank.append((f"line {number}", file.position()))
                continue
            if header is None:
                header = _checked_header(path, number, cells)
                # A header may have blank cells, as that of pandas' index; they name no column.
                named = [bool(name) for name in header]
                columns = list(compress(header, named))
                continue
            yield from (FileRow([(columns[0], "")], *where) for where in blank)
            blank = []
            place, position = f"line {number}", file.position()
            if isinstance(cells, str):
                yield BadRow(cells, place, position)
            elif len(cells) != len(header):
                problem = f"the row has {len(cells)} columns, but the header has {len(header)}"
                yield BadRow(problem, place, position)
            else:
                yield FileRow(zip(columns, compress(cells, named), strict=True), place, position)


def _columns(path: str, records: _Records) -> list[str]:
    with opened(path) as file:
        for number, cells in records(file.content, path, MAX_ROW_BYTES):
            if not cells:
                continue
            return [name for name in _checked_header(path, number, cells) if name]
    return []


def _checked_header(path: str, number: int, header: list[str] | str) -> list[str]:
    if isinstance(header, str):
        raise DataError(f"{path}, line {number}: {header}")
    names = [name for name in header if name]
    twice = repeated(names)
    if twice is not None:
        raise DataError(f"{path}, line {number}: the column {twice!r} occurs twice in the header")
    if not names:
        raise DataError(f"{path}, line {number}: the header has no names of columns")
    return header


def _csv_records(file: BinaryIO, path: str, max_bytes: int) -> Iterator[_Record]:
    lines = Lines(file, path, max_bytes)
    csv.field_size_limit(max_bytes)
    # Without strict, an unclosed quotation mark would swallow the rest of the file.
    reader = csv.reader(iter(lines), strict=True)
    while True:
        # A record may have several lines; its place is the first.
        first = lines.number + 1
        lines.begin_row()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            meaning = (text for sign, text in _PROBLEMS.items() if sign in str(error))
            problem = next(meaning, str(error))
            raise DataError(f"{path}, line {first}: {problem}") from error
        if cells is None:
            return
        yield first, cells


def _tsv_records(file: BinaryIO, path: str, max_bytes: int) -> Iterator[_Record]:
    lines = Lines(file, path, max_bytes, are_rows=True)
    for line in lines:
        lines.begin_row()
        text = line.removesuffix("\n").removesuffix("\r")
        if lines.problem:
            yield lines.number, lines.problem
        elif "\r" in text:
            yield lines.number, "there is a carriage return in it; lines must end in \\n or \\r\\n"
        else:
            yield lines.number, text.split("\t") if text else []
