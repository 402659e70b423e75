"""Flattens configurations and formats their values."""

from typing import Any


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns a flat configuration, with the full path of each value as its key."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def as_yaml(value: object) -> object:
    """Returns the value as YAML writes it: None as `null`."""
    return "null" if value is None else value


def printable(text: str) -> str:
    """Returns text with control characters, such as those that steer a terminal, as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
