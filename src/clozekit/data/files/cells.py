"""What a cell means to a task: a text, the name of a class, a score, an index or a list."""

import datetime
import math
import re
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np

from clozekit.data.files.literals import read_literal

MAX_CHARACTERS = 16 * 2**20
"""The maximum length of a text; that of rows in text files is limited alike."""

LARGEST_SCORE = 1e15
"""The squared errors of scores up to this, and their sums, stay finite in float32."""

# Python's float() and int() also accept underscores and the digits of other scripts.
_SCORE = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INDEX = re.compile(r"[0-9]{1,9}")
_WHOLE = re.compile(r"-?[0-9]{1,18}")

# What only the start of a list looks like; a text may also start with a bracket. For the bracket
# that ends the text, if it must.
_STARTS_OF_LISTS = {
    "": re.compile(r"""\[[\s\[]*(b?['"]|np\.|array\()|(np\.)?array\(\["""),  # ['a', … or ['a' …
    "]": re.compile(
        r"\[\s*(-?[0-9.]+|None|nan|NaN|null|True|False|true|false)[\s,]"  # [1 2] or [None, 'a']
        r"|\[[^\s\[\]]+, \S"  # [a, b]
    ),
    ")": re.compile(r"""\(\s*(['"])[^'"]*\1\s*,"""),  # ('a', 'b')
    "}": re.compile(r"""\{\s*(['"])[^'"]*\1\s*[,:}]"""),  # {'a', 'b'} or {"a": …
}


class RowError(ValueError):
    """A row cannot be used; the message has the value and what is allowed."""


def is_missing(value: Any) -> bool:
    """Whether a cell is missing: null or empty. Nothing else is, such as `NaN` or -100."""
    return value is None or (isinstance(value, str) and not value)


def as_text(value: Any, column: str) -> str:
    """Returns the text of a cell; that of null is empty.

    Raises:
        RowError: The value is not text, is too long, or is not Unicode: it has half of a surrogate
            pair.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RowError(f"{column} is {shown(value)} but must be text")
    if len(value) > MAX_CHARACTERS:
        raise RowError(f"{column} has {len(value):,} characters, more than {MAX_CHARACTERS:,}")
    _check_unicode(value, column)
    return value


def as_name(label: Any, what: str = "the label") -> str:
    """Returns a class's name as the text that a CSV file would have.

    A whole number is named alike as an integer and as a float, because missing values turn columns
    of integers into floats. A boolean is named `true` or `false`.

    Raises:
        RowError: The value is not text, a number, a boolean or a date.
    """
    if isinstance(label, str):
        _check_unicode(label, what)
        return label
    if isinstance(label, bool | np.bool_):
        return "true" if label else "false"
    if isinstance(label, Integral):
        return str(int(label))
    if isinstance(label, Real) and math.isfinite(label):
        number = float(label)
        is_exact = number.is_integer() and abs(number) < 2**53
        return str(int(number)) if is_exact else repr(number)
    if isinstance(label, Decimal | datetime.date | datetime.time) and label == label:
        return str(label)
    raise RowError(f"{what} is {shown(label)} but must be text or a number; leave it empty if none")


def as_id(value: Any) -> str | int:
    """Returns a row's id: texts and whole numbers as they are, others by their name.

    Raises:
        RowError: The value cannot be an id.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return as_name(value, "the id")


def as_score(value: Any, column: str) -> float:
    """Returns a score.

    Raises:
        RowError: The value is not a number, or is too large.
    """
    number = math.nan
    is_boolean = isinstance(value, bool | np.bool_)
    try:
        if isinstance(value, str):
            number = float(value) if _SCORE.fullmatch(value.strip(" \t")) else math.nan
        elif not is_boolean and isinstance(value, Real | Decimal):
            number = float(value)
    except (OverflowError, ValueError):
        pass
    if not abs(number) <= LARGEST_SCORE:
        raise RowError(
            f"{column} is {shown(value)} but must be a number from -{LARGEST_SCORE:g} to "
            f"{LARGEST_SCORE:g}"
        )
    return number


def as_index(value: Any, column: str, size: int) -> int:
    """Returns the index of one of `size` choices.

    Raises:
        RowError: The value is not a whole number from 0 to `size - 1`.
    """
    try:
        name = as_name(value)
    except RowError:
        name = ""
    if not _INDEX.fullmatch(name) or int(name) >= size:
        raise RowError(
            f"{column} is {shown(value)} but must be the index of a choice, from 0 to {size - 1}"
        )
    return int(name)


def list_in(value: Any, column: str) -> list[Any] | None:
    """Returns the list in a cell, also one that is written as text: in JSON, or by Python or numpy.

    Returns:
        The list; None for any other text.

    Raises:
        RowError: The value is neither a list nor text, or is a list that cannot be read.
    """
    if isinstance(value, list | tuple | np.ndarray):
        return list(value)
    if not isinstance(value, str):
        raise RowError(f"{column} is {shown(value)} but must be a list")
    text = value.strip()
    is_certain = any(
        text.endswith(end) and start.match(text) for end, start in _STARTS_OF_LISTS.items()
    )
    if not is_certain and not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        found = read_literal(text)
    except ValueError as error:
        if not is_certain:
            return None
        raise RowError(
            f"{column} is {shown(value)}, a list that cannot be read ({error}); write lists as "
            'JSON, such as ["a", "b"]'
        ) from None
    if not isinstance(found, list):
        raise RowError(f"{column} is {shown(value)} but must be a list")
    return found


def items_in(value: Any, column: str) -> list[Any]:
    """Returns the list in a cell as `list_in` does; the items of another text are between blanks.

    Raises:
        RowError: The value is neither a list nor text, or is a list that cannot be read.
    """
    found = list_in(value, column)
    return value.split() if found is None else found


def ordered_names(names: set[str]) -> list[str]:
    """Sorts classes: by value if all are whole numbers, else alphabetically."""
    if all(_WHOLE.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def shown(value: Any) -> str:
    """Returns a value for a message, shortened if it is long."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:180]}… ({len(text):,} characters)"


def _check_unicode(text: str, what: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise RowError(
            f"{what} has half of a surrogate pair, {half!r}, at character {error.start + 1}, "
            "which is not Unicode text"
        ) from None
