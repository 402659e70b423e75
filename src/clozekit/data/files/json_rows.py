"""JSON lines, and JSON arrays of objects."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import overload

from clozekit.data.files.json_text import JsonStream, parse_json
from clozekit.data.files.opening import MAX_ROW_BYTES, Lines, opened
from clozekit.data.files.row import BadRow, FileRow
from clozekit.errors import DataError

_ROWS_FOR_COLUMNS = 1000


def jsonl_columns(path: str) -> Sequence[str]:
    """Returns the columns of a file of JSON lines: the keys of its rows."""
    return _Keys(jsonl_rows, path)


def json_columns(path: str) -> Sequence[str]:
    """Returns the columns of a JSON array: the keys of its items."""
    return _Keys(json_rows, path)


def jsonl_rows(path: str, wanted: Sequence[str] | None = None) -> Iterator[FileRow | BadRow]:
    """Reads a file with one JSON object per line. Blank lines are skipped."""
    with opened(path) as file:
        lines = Lines(file.content, path, are_rows=True)
        for line in lines:
            lines.begin_row()
            place, position = f"line {lines.number}", file.position()
            if lines.problem:
                yield BadRow(lines.problem, place, position)
            elif line.strip():
                yield _row(line.rstrip(), place, position, "the line")


def json_rows(path: str, wanted: Sequence[str] | None = None) -> Iterator[FileRow | BadRow]:
    """Reads a JSON array of objects, or JSON lines.

    Raises:
        DataError: The brackets do not match, or the file is one object over several lines.
    """
    with opened(path) as file:
        stream = JsonStream(file.content, path, MAX_ROW_BYTES)
        is_array = stream.peek() == b"["
        if is_array:
            for number, item in enumerate(stream.array(), start=1):
                place = f"item {number} (line {item.line})"
                yield _row(item.text, place, file.position(), "the item")
            stream.end()
    if is_array:
        return
    rows = jsonl_rows(path)
    first = next(rows, None)
    if isinstance(first, BadRow) and _is_one_object(path):
        raise DataError(
            f"{path} is one JSON object over several lines; it must be a list of rows, such as "
            '[{"text": "…"}, …], or have one row per line'
        )
    if first is not None:
        yield first
    yield from rows


def _is_one_object(path: str) -> bool:
    """Whether a file is one JSON object, which may have lists of any length."""
    with opened(path) as file:
        stream = JsonStream(file.content, path, MAX_ROW_BYTES)
        try:
            for _ in stream.object():
                values = stream.array() if stream.peek() == b"[" else [stream.value()]
                for value in values:
                    stream.parsed(value)
            stream.end()
        except DataError:
            return False
    return True


def _row(text: str, place: str, position: int, what: str) -> FileRow | BadRow:
    try:
        value = parse_json(text)
    except ValueError as error:
        return BadRow(f"{what} is not JSON: {error}", place, position)
    if not isinstance(value, dict):
        return BadRow(f"{what} is not a JSON object", place, position)
    return FileRow(value, place, position)


class _Keys(Sequence[str]):
    """The keys of a file's first rows; whether there is another is found by reading on.

    Args:
        read: Reads the rows of a file.
        path: The file.
    """

    def __init__(self, read: Callable[[str], Iterator[FileRow | BadRow]], path: str) -> None:
        self._read = read
        self._path = path

    @cached_property
    def _first(self) -> list[str]:
        found: dict[str, None] = {}
        for row in islice(self._read(self._path), _ROWS_FOR_COLUMNS):
            if isinstance(row, FileRow):
                found |= dict.fromkeys(row)
        return list(found)

    def __contains__(self, column: object) -> bool:
        return column in self._first or any(
            isinstance(row, FileRow) and column in row for row in self._read(self._path)
        )

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._first[index]

    def __len__(self) -> int:
        return len(self._first)
