"""Lists and objects that stand in a cell as text: in JSON, or as Python or numpy print them.

Nothing is evaluated: a small grammar is read, and whatever is not in it is refused.
"""

import ast
import re
from typing import Any

from clozekit.data.files.json_text import parse_json

_MAX_DEPTH = 16
_BLANKS = re.compile(r"\s*")
_STRING = re.compile(r"""'[^'\\]*+(?:\\.[^'\\]*+)*+'|"[^"\\]*+(?:\\.[^"\\]*+)*+\"""", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.])")
_CONSTANT = re.compile(r"(?:None|True|False)\b")
_CONSTANTS = {"None": None, "True": True, "False": False}
# numpy's arrays and scalars, such as array(['a'], dtype=object) and np.str_('a').
_CALL = re.compile(r"(?:np\.)?(?:array|str_|bool_?|u?int[0-9]*|float[0-9]*)\(")
_DTYPE = re.compile(r"\s*,\s*dtype=(?:[\w.]+|'[^']*')")


def read_literal(text: str) -> Any:
    """Reads a list, an object or a scalar.

    Args:
        text: JSON, or what Python or numpy print for lists, tuples, dicts and arrays.

    Returns:
        Lists, dicts, texts, numbers, booleans and None.

    Raises:
        ValueError: The text is none of these.
    """
    try:
        return parse_json(text)
    except ValueError:
        return _Literal(text).whole()


class _Literal:
    """Reads one literal from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def whole(self) -> Any:
        self._take(_BLANKS)
        value = self._value(0)
        self._take(_BLANKS)
        if self._at < len(self._text):
            raise self._unexpected()
        return value

    def _value(self, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError(f"it is nested more than {_MAX_DEPTH} levels deep")
        if self._next_is("["):
            return self._items("]", depth)
        if self._next_is("("):
            return self._items(")", depth)
        if self._next_is("{"):
            return self._object(depth)
        if (string := self._take(_STRING)) is not None:
            return _string(string)
        if (number := self._take(_NUMBER)) is not None:
            return float(number) if re.search(r"[.eE]", number) else int(number)
        if (constant := self._take(_CONSTANT)) is not None:
            return _CONSTANTS[constant]
        if self._take(_CALL) is not None:
            self._take(_BLANKS)
            value = self._value(depth + 1)
            self._take(_DTYPE)
            self._expect(")")
            return value
        raise self._unexpected()

    def _items(self, end: str, depth: int) -> list[Any]:
        """Reads the items of a list; all are separated by commas, or by blanks as in numpy."""
        items: list[Any] = []
        separator = ""
        while True:
            blanks = self._take(_BLANKS)
            if self._next_is(end):
                return items
            if items:
                found = "," if self._next_is(",") else " " if blanks and end == "]" else ""
                separator = separator or found
                if not found or found != separator:
                    raise self._unexpected()
                self._take(_BLANKS)
                if found == "," and self._next_is(end):
                    return items
            items.append(self._value(depth + 1))

    def _object(self, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        self._take(_BLANKS)
        while not self._next_is("}"):
            if found:
                self._expect(",")
            self._take(_BLANKS)
            key = self._take(_STRING)
            if key is None:
                raise self._unexpected()
            self._expect(":")
            self._take(_BLANKS)
            if _string(key) in found:
                raise ValueError(f"the key {key} occurs twice")
            found[_string(key)] = self._value(depth + 1)
            self._take(_BLANKS)
        return found

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match[0]

    def _next_is(self, sign: str) -> bool:
        is_next = self._text.startswith(sign, self._at)
        self._at += is_next
        return is_next

    def _expect(self, sign: str) -> None:
        self._take(_BLANKS)
        if not self._next_is(sign):
            raise self._unexpected()

    def _unexpected(self) -> ValueError:
        if self._at >= len(self._text):
            return ValueError("it is cut off")
        return ValueError(f"unexpected {self._text[self._at]!r} at character {self._at + 1}")


def _string(literal: str) -> str:
    """Decodes the escapes of one quoted string."""
    try:
        return str(ast.literal_eval(literal))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{literal[:40]} is not a string") from error
