"""Flattens configurations and formats their values."""

from typing import Annotated, Any, Literal

from pydantic import Field

LARGEST = 2**31 - 1

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
    """Returns the value as YAML writes it: None as `null`."""
    return "null" if value is None else value
