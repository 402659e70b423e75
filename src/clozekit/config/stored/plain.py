"""Copies plain values that were read from a file, within limits."""

from collections.abc import Mapping
from typing import Any

from clozekit.errors import DataError

MOST_VALUES = 1_000_000
"""Maximum number of values; a task may have a hundred thousand classes."""

DEEPEST = 32
"""Maximum depth of nested lists and dicts."""

MOST_SHOWN = 60


def plain_copy(value: Any, source: object) -> Any:
    """Copies nested lists and dicts of plain values. Values that occur twice are copied twice.

    A pickled file may contain a list that contains itself, or lists that contain each other so
    often that they do not fit into memory when they are written out. The limits exclude both.

    Args:
        value: The value.
        source: The file that it was read from, for messages.

    Raises:
        DataError: A value is not plain, or there are too many.
    """
    count = 0

    def copy(inner: Any, depth: int) -> Any:
        nonlocal count
        count += 1
        if count > MOST_VALUES or depth > DEEPEST:
            raise DataError(
                f"{source} is damaged: its configuration has more than {MOST_VALUES:,} values or "
                f"more than {DEEPEST} levels"
            )
        if inner is None or isinstance(inner, bool | int | float | str):
            return inner
        if isinstance(inner, list | tuple):
            return [copy(one, depth + 1) for one in inner]
        if isinstance(inner, Mapping) and all(isinstance(key, str) for key in inner):
            return {str(key): copy(one, depth + 1) for key, one in inner.items()}
        raise DataError(f"{source} is damaged: its configuration contains {shown(inner)}")

    return copy(value, 0)


def shown(value: object) -> str:
    """Returns a short description of any value for a message."""
    if value is None or isinstance(value, bool | int | float | str):
        text = repr(value)
        return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
    return f"a {type(value).__name__}"
