"""Mappings of classes on the command line, whose names Hydra would read as numbers or null."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from hydra.core.override_parser.types import QuotedString

_QUOTED = r""""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)\'"""
_ENTRY = re.compile(rf"\s*(?:{_QUOTED}|((?:[^\s,:{{}}\"'\\]|\\.|\s(?!\s*:))+))\s*:([^,{{}}]*)(,|$)")
# What Hydra reads as one sign after a backslash, in a name without quotation marks and in one with.
_ESCAPED = re.compile(r"\\([\\()\[\]{}:=, \t])")
_ESCAPED_IN_QUOTES = re.compile(r"""\\(["'\\])""")


def with_names_as_written(mapping: str, read: Callable[[str], Any]) -> str | None:
    """Writes a mapping of names to values as JSON, in which names such as 2.10 or null are text.

    Args:
        mapping: The mapping as on the command line: `{2.10: 5.0, "a b": 2}`.
        read: Reads a value.

    Returns:
        The JSON; None if the text is not such a mapping, or has a mapping in it.
    """
    if mapping[:1] != "{" or mapping[-1:] != "}":
        return None
    pairs = list(_pairs(mapping[1:-1]))
    if not pairs or None in pairs:
        return None
    written = (_as_json(name, read(value)) for name, value in filter(None, pairs))
    return f"{{{', '.join(written)}}}"


def _pairs(content: str) -> Iterator[tuple[str, str] | None]:
    """Yields the names and values in the braces; None for what is neither."""
    at = 0
    while at < len(content):
        found = _ENTRY.match(content, at)
        if found is None:
            yield None
            return
        in_quotes = found[1] if found[1] is not None else found[2]
        if in_quotes is not None:
            name = _ESCAPED_IN_QUOTES.sub(r"\1", in_quotes)
        else:
            name = _ESCAPED.sub(r"\1", found[3])
        yield name, found[4].strip()
        at = found.end()


def _as_json(name: str, value: Any) -> str:
    value = value.text if isinstance(value, QuotedString) else value
    return f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(value, default=str)}"
