"""What a reader hands on, and how a row of a table becomes a document."""

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from clozekit.config.prepare import HubSource, TableSource
from clozekit.errors import DataError


class Document(NamedTuple):
    """A document's text, and its id where the source gives one."""

    text: str
    id: str | None = None


class Partition(NamedTuple):
    """A part of the source that one task reads.

    Attributes:
        path: The file.
        start: The first byte, row group or row.
        stop: The one after the last; None reads to the end.
    """

    path: str
    start: int
    stop: int | None


def document_of_row(
    row: dict[str, Any], source: TableSource | HubSource, place: Callable[[], str]
) -> Document:
    """Takes the text and the id out of a row that has the columns.

    Args:
        row: The values by column.
        source: Which columns.
        place: Tells where the row is, for an error alone: counting lines takes time.

    Raises:
        DataError: The text is no string (null is empty), or the id no string or integer.
    """
    text = row[source.text_column]
    if text is None:
        text = ""
    if not isinstance(text, str):
        raise DataError(f"{place()}: {source.text_column!r} is {kind(text)} instead of a string")
    if not _is_unicode(text):
        raise DataError(f"{place()}: {source.text_column!r} has half of a surrogate pair")
    if source.id_column is None:
        return Document(text)
    identity = row[source.id_column]
    if isinstance(identity, bool) or not isinstance(identity, (str, int)):
        raise DataError(
            f"{place()}: {source.id_column!r} is {kind(identity)} instead of a string or an integer"
        )
    if not _is_unicode(str(identity)):
        raise DataError(f"{place()}: {source.id_column!r} has half of a surrogate pair")
    return Document(text, str(identity))


def columns_of(source: TableSource | HubSource) -> list[str]:
    """The columns that are read."""
    return [source.text_column, *([source.id_column] if source.id_column else [])]


def check_columns(wanted: Iterable[str], there: Collection[str], place: Callable[[], str]) -> None:
    """Raises a `DataError` that names the columns there are if a wanted one is missing."""
    for column in wanted:
        if column not in there:
            raise DataError(
                f"{place()} has no column {column!r}; its columns are {', '.join(map(repr, there))}"
            )


def kind(value: Any) -> str:
    """What a value is, in words."""
    kinds = {type(None): "null", bool: "a boolean", int: "a number", float: "a number"}
    kinds |= {str: "a string", list: "a list", dict: "an object"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
