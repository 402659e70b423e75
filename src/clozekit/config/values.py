"""Flattens configurations and formats their values."""

from typing import Annotated, Any, Literal

from pydantic import Field

LARGEST = 2**31 - 1

SHORTEST_SEQUENCE = 8
"""The smallest `max_seq_length`."""

Count = Annotated[int, Field(gt=0, le=LARGEST)]
"""A number of things, such as steps or samples. Larger ones would overflow in torch or Lightning.
"""

Precision = Literal["32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true"]
"""A numerical precision, by its name in Lightning."""


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns a flat configuration, with the full path of each value as its key.

    The groups in a list have their index as a part of the path: `data.phases.0.ratio`.
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            found |= flat({str(i): each for i, each in enumerate(value)}, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def as_yaml(value: object) -> object:
    """Returns a value as YAML writes it: None as `null`, and booleans as `true` and `false`.

    Those in lists and dicts are written so, too. Every other value is returned as it is.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_inside, value))}]"
    if isinstance(value, dict):
        pairs = (f"{_inside(key)}: {_inside(each)}" for key, each in value.items())
        return f"{{{', '.join(pairs)}}}"
    return value


def _inside(value: object) -> str:
    """Returns a value of a list or dict as YAML writes it; a text has quotes there."""
    written = as_yaml(value)
    return repr(value) if written is value else str(written)
