"""JSON with limits, so that a damaged or hostile file is refused instead of ending the process."""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from clozekit.errors import DataError

MAX_DEPTH = 64
"""The largest number of brackets that may be open at once."""

_CHUNK = 2**18
_BLANKS = re.compile(rb"[ \t\r\n]*")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_STRUCTURE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)
_OUTSIDE_STRING = re.compile(rb'["\[\]{}]')
_INSIDE_STRING = re.compile(rb'["\\]')
_END_OF_SCALAR = re.compile(rb"[\s,\]}]")


def parse_json(text: str) -> Any:
    """Parses JSON.

    Raises:
        ValueError: The text is not JSON, is nested too deeply, has an object with a key twice or a
            number that Python does not read; the message says what is wrong.
    """
    is_deep = text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH
    if is_deep:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except _RepeatedKeyError:
        raise
    except ValueError:
        limit = sys.get_int_max_str_digits()
        raise ValueError(f"it has a whole number of more than {limit:,} digits") from None


def _depth(text: str) -> int:
    depth = deepest = 0
    for match in _STRUCTURE.finditer(text):
        if match[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif match[0] in "]}":
            depth -= 1
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = repeated(key for key, _ in pairs)
    if twice is not None:
        raise _RepeatedKeyError(f"the key {twice!r} occurs twice")
    return dict(pairs)


def repeated(names: Iterable[str]) -> str | None:
    """Returns the first name that occurs a second time, if any does."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


class _RepeatedKeyError(ValueError):
    """An object has a key twice."""


class JsonItem(NamedTuple):
    """A value in a JSON file, not yet parsed.

    Attributes:
        line: The line on which it starts.
        text: Its JSON.
    """

    line: int
    text: str


class JsonStream:
    """Reads the values of a large JSON array or object one by one.

    Args:
        file: The file.
        path: Its name for messages.
        max_bytes: The maximum size of one value.
    """

    def __init__(self, file: BinaryIO, path: str, max_bytes: int) -> None:
        self._file = file
        self._path = path
        self._max_bytes = max_bytes
        self._buffer = file.read(_CHUNK).removeprefix(_BYTE_ORDER_MARK)
        self._at = 0
        self._line = 1

    def peek(self) -> bytes:
        """Returns the next byte that is not blank, or nothing at the end of the file."""
        while True:
            blanks = _BLANKS.match(self._buffer, self._at)
            assert blanks is not None
            self._advance(blanks.end() - self._at)
            found = self._buffer[self._at : self._at + 1]
            if found or not self._read_on():
                return found

    def array(self) -> Iterator[JsonItem]:
        """Yields the items of an array."""
        yield from self._members(b"[", b"]")

    def object(self) -> Iterator[str]:
        """Yields the keys of an object; the value of each must be taken before the next.

        Raises:
            DataError: A key occurs twice.
        """
        seen: set[str] = set()
        for key in self._members(b"{", b"}"):
            name = self.parsed(key)
            if not isinstance(name, str):
                raise self._error(f"{key.text[:40]} is not a key")
            if name in seen:
                raise self._error(f"the key {name!r} occurs twice")
            seen.add(name)
            self._take(b":")
            yield name

    def value(self) -> JsonItem:
        """Takes the next value."""
        first = self.peek()
        if not first:
            raise self._error("the file is cut off")
        line, begin_at = self._line, self._at
        end = self._end_of_value(first)
        raw = self._buffer[begin_at:end]
        self._advance(end - begin_at)
        try:
            return JsonItem(line, raw.decode())
        except UnicodeDecodeError as error:
            line += raw[: error.start].count(b"\n")
            raise DataError(
                f"{self._path}, line {line} is not UTF-8 (byte 0x{raw[error.start]:02x})"
            ) from None

    def parsed(self, item: JsonItem) -> Any:
        """Parses a value.

        Raises:
            DataError: It is not JSON.
        """
        try:
            return parse_json(item.text)
        except ValueError as error:
            raise DataError(f"{self._path}, line {item.line} is not JSON: {error}") from None

    def end(self) -> None:
        """Checks that nothing follows."""
        if self.peek():
            raise self._error("more follows the end of the JSON value")

    def _members(self, opening: bytes, closing: bytes) -> Iterator[JsonItem]:
        self._take(opening)
        if self.peek() == closing:
            self._advance(1)
            return
        while True:
            yield self.value()
            if self.peek() == closing:
                self._advance(1)
                return
            self._take(b",")

    def _take(self, sign: bytes) -> None:
        if (found := self.peek()) != sign:
            what = repr(found.decode("latin-1")) if found else "the end of the file"
            raise self._error(f"{what} stands where {sign.decode()!r} should")
        self._advance(1)

    def _end_of_value(self, first: bytes) -> int:
        """Reads on until the buffer has a whole value; returns where it ends."""
        if first not in b'"[{':
            at = self._at
            while (match := _END_OF_SCALAR.search(self._buffer, at)) is None:
                at = len(self._buffer)
                if not self._grow():
                    return at
            if match.start() == self._at:
                raise self._error(f"{first.decode('latin-1')!r} stands where a value should")
            return match.start()
        at, depth, in_string = self._at, 0, False
        while True:
            match = (_INSIDE_STRING if in_string else _OUTSIDE_STRING).search(self._buffer, at)
            if match is None or (match[0] == b"\\" and match.end() == len(self._buffer)):
                at = len(self._buffer) if match is None else match.start()
                if not self._grow():
                    raise self._error("the file is cut off")
                continue
            at = match.end() + (match[0] == b"\\")
            if match[0] == b'"':
                in_string = not in_string
            elif match[0] in b"[{":
                depth += 1
            elif match[0] in b"]}":
                depth -= 1
            if depth > MAX_DEPTH:
                raise self._error(f"it is nested more than {MAX_DEPTH} levels deep")
            if depth == 0 and not in_string:
                return at

    def _grow(self) -> bool:
        if len(self._buffer) - self._at > self._max_bytes:
            raise DataError(
                f"{self._path}, line {self._line}: a value is larger than "
                f"{self._max_bytes // 2**20} MiB"
            )
        more = self._file.read(max(_CHUNK, len(self._buffer) - self._at))
        self._buffer += more
        return bool(more)

    def _read_on(self) -> bool:
        self._buffer, self._at = self._file.read(_CHUNK), 0
        return bool(self._buffer)

    def _advance(self, count: int) -> None:
        end = self._at + count
        self._line += self._buffer.count(b"\n", self._at, end)
        self._at = end
        if self._at > _CHUNK:
            self._buffer, self._at = self._buffer[self._at :], 0

    def _error(self, problem: str) -> DataError:
        return DataError(f"{self._path}, line {self._line} is not JSON: {problem}")
