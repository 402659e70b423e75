"""Rows of a file, good and bad, with their places for messages."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clozekit.errors import DataError


class FileRow(dict[str, Any]):
    """A row: its cells by column. A column that the row lacks is null.

    Attributes:
        place: Where it is in its file, such as `line 3`.
        position: The number of bytes of the file read so far; 0 if unknown.
    """

    __slots__ = ("place", "position")

    def __init__(self, cells: Any, place: str, position: int = 0) -> None:
        super().__init__(cells)
        self.place = place
        self.position = position

    def __missing__(self, column: str) -> None:
        return None


class BadRow:
    """A row that does not match the format of its file.

    Attributes:
        place: Where it is in its file.
        problem: What is wrong with it.
        position: The number of bytes of the file read so far.
    """

    __slots__ = ("place", "position", "problem")

    def __init__(self, problem: str, place: str, position: int = 0) -> None:
        self.problem = problem
        self.place = place
        self.position = position


class NoRowsError(DataError):
    """A file or split has no rows."""


@dataclass(frozen=True)
class Rows:
    """The rows of a file, or of a split of a data set.

    Attributes:
        name: The file or split, for messages.
        columns: The names of its columns.
        read: Yields the rows one by one, from the start each time it is called. Classes are given
            by name. What does not match the format of the file is a `BadRow`.
        unit: The word before a row's number in messages, for rows that do not know their place.
        class_names: For each column whose classes are declared by the data set, their names in the
            data set's order.
        left_out: The files of the data set's folder that no split has.
    """

    name: str
    columns: Sequence[str]
    read: Callable[[], Iterator[Mapping[str, Any] | BadRow]]
    unit: str = "row"
    class_names: Mapping[str, list[str]] = field(default_factory=dict)
    left_out: Sequence[str] = ()

    def __iter__(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yields each row with its name for messages.

        Raises:
            DataError: A row does not match the format of the file.
        """
        for place, row in self.with_bad_rows():
            if isinstance(row, BadRow):
                raise DataError(f"{place}: {row.problem}")
            yield place, row

    def with_bad_rows(self) -> Iterator[tuple[str, Mapping[str, Any] | BadRow]]:
        """Yields each row, good or bad, with its name for messages."""
        for number, row in enumerate(self.read(), start=1):
            place = row.place if isinstance(row, FileRow | BadRow) else f"{self.unit} {number}"
            yield f"{self.name}, {place}", row
