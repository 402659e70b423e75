"""Types of keys, said in words."""

from collections.abc import Iterable
from typing import Any

NAMES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "array": "list",
    "object": "keys and values",
    "null": "`null`",
}
LIMITS = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "up to {}",
    "exclusiveMaximum": "below {}",
}


def type_in_words(schema: dict[str, Any]) -> str:
    """Says what a JSON Schema takes."""
    if "anyOf" in schema:
        return ", or ".join(type_in_words(choice) for choice in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    limits = [text.format(schema[key]) for key, text in LIMITS.items() if key in schema]
    return " ".join([NAMES.get(schema.get("type", ""), "any"), *limits])


def type_of_values(values: Iterable[Any]) -> str:
    """Says of which types some values are."""
    kinds = {bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    found = [
        "`null`, or text" if value is None else NAMES[kinds.get(type(value), "string")]
        for value in values
    ]
    return ", or ".join(dict.fromkeys(found))
