"""Values of a configuration, by their whole keys and as YAML writes them."""

from typing import Any


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Gives a configuration with the whole path of every value as its key."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def as_yaml(value: object) -> object:
    """Writes None as the user does."""
    return "null" if value is None else value
