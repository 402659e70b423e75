"""Documents, the partitions they are read from, and the conversion of table rows."""

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from clozekit.config.prepare import HubSource, TableSource
from clozekit.errors import DataError


class Document(NamedTuple):
    """A document's text, and its id if the source has ids."""

    text: str
    id: str | None = None


class Partition(NamedTuple):
    """A part of the source that is read by one task.

    Attributes:
        path: The file.
        start: The first byte, row group or row.
        stop: The end of the range, exclusive; None reads to the end of the file.
        is_cut: Whether a large file that cannot be read from the middle is cut first.
    """

    path: str
    start: int
    stop: int | None
    is_cut: bool = False


def document_of_row(
    row: dict[str, Any], source: TableSource | HubSource, place: Callable[[], str]
) -> Document:
    """Converts a row to a document.

    Args:
        row: The values by column.
        source: The source, which names the columns.
        place: Returns the row's location for error messages. It is only called for an error,
            because counting lines is slow.

    Returns:
        The document. A null text is empty.

    Raises:
        DataError: The text is not a string, or the id is not a string or an integer.
    """
    text = row[source.text_column]
    if text is None:
        text = ""
    if not isinstance(text, str):
        raise DataError(f"{place()}: {source.text_column!r} is {kind(text)} instead of a string")
    if not _is_unicode(text):
        raise DataError(f"{place()}: {source.text_column!r} has a lone surrogate")
    if source.id_column is None:
        return Document(text)
    identity = row[source.id_column]
    if isinstance(identity, bool) or not isinstance(identity, (str, int)):
        raise DataError(
            f"{place()}: {source.id_column!r} is {kind(identity)} instead of a string or an integer"
        )
    if not _is_unicode(str(identity)):
        raise DataError(f"{place()}: {source.id_column!r} has a lone surrogate")
    return Document(text, str(identity))


def columns_of(source: TableSource | HubSource) -> list[str]:
    """Returns the columns to read."""
    return [source.text_column, *([source.id_column] if source.id_column else [])]


def check_columns(wanted: Iterable[str], there: Collection[str], place: Callable[[], str]) -> None:
    """Checks that a table has the wanted columns.

    Raises:
        DataError: A column is missing.
    """
    for column in wanted:
        if column not in there:
            raise DataError(
                f"{place()} has no column {column!r}; its columns are {', '.join(map(repr, there))}"
            )


def kind(value: Any) -> str:
    """Returns the kind of a value in words, for error messages."""
    kinds = {type(None): "null", bool: "a boolean", int: "a number", float: "a number"}
    kinds |= {str: "a string", list: "a list", dict: "an object"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
