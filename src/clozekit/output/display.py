"""Prints user-supplied text literally: labels, file names, names of runs and metrics.

Whatever comes from a file may have control characters, which a terminal obeys, or words in brackets
and between colons, which rich takes for its markup. All other modules print with these functions.
"""

import sys
import unicodedata
import warnings
from typing import TextIO

_INVISIBLE = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Unicode categories: control characters, halves of surrogate pairs, line and paragraph ends."""

_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""The characters that change the direction of the text after them."""


def printable(text: str, keep: str = "") -> str:
    r"""Writes control characters as escape sequences, such as `\x1b`; other text is unchanged.

    Args:
        text: The text.
        keep: Control characters that stay.
    """
    if text.isprintable() and text.isascii():
        return text
    return "".join(
        character if character in keep or not _is_control(character) else _escaped(character)
        for character in text
    )


def say(message: str, file: TextIO | None = None) -> None:
    """Prints a message of one or more lines, and flushes.

    Args:
        message: The message.
        file: Where to print; None for stdout.
    """
    print(printable(message, keep="\n"), file=file or sys.stdout, flush=True)


class PlainWarning(UserWarning):
    """A warning for the user, in which the place in the code says nothing."""


def warn(message: str) -> None:
    """Warns the user; the command prints it as one line, see `show_plain_warnings`.

    Args:
        message: The message, as a sentence.
    """
    warnings.warn(message, PlainWarning, stacklevel=3)


def show_plain_warnings() -> None:
    """Lets this process print clozekit's own warnings without a path and a line of code."""
    if warnings.formatwarning is not _formatted:
        warnings.formatwarning = _formatted


def _formatted(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    if issubclass(category, PlainWarning):
        text = printable(str(message), keep="\n")
        return f"warning: {text}\n"
    return _USUAL(message, category, filename, lineno, line)


_USUAL = warnings.formatwarning


def _is_control(character: str) -> bool:
    return character in _DIRECTION or unicodedata.category(character) in _INVISIBLE


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
