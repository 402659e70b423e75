"""Descriptions of the types of keys."""

from collections.abc import Iterable
from typing import Any

from clozekit.config.values import LARGEST

NAMES = {
    "integer": "integer",
    "number": "number",
    "string": "string",
    "boolean": "`true` or `false`",
    "array": "list",
    "object": "mapping",
    "null": "`null`",
}
LIMITS = {
    "minimum": ">= {}",
    "exclusiveMinimum": "> {}",
    "maximum": "<= {}",
    "exclusiveMaximum": "< {}",
}


def type_in_words(schema: dict[str, Any]) -> str:
    """Describes the values that a JSON Schema allows."""
    choices = schema.get("anyOf", schema.get("oneOf"))
    if choices is not None:
        return ", or ".join(type_in_words(choice) for choice in choices)
    if "$ref" in schema:
        return NAMES["object"]
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    limits = [
        text.format(schema[key])
        for key, text in LIMITS.items()
        if key in schema and schema[key] != LARGEST  # a bound that no one will meet
    ]
    return f"{NAMES.get(schema.get('type', ''), 'any')} {' and '.join(limits)}".strip()


def type_of_values(values: Iterable[Any]) -> str:
    """Describes the types of some values."""
    kinds = {bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    found = [
        "`null`, or string" if value is None else NAMES[kinds.get(type(value), "string")]
        for value in values
    ]
    return ", or ".join(dict.fromkeys(found))
