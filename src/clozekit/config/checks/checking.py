"""Validates a group's values against its schema, with one error message per key."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from clozekit.errors import ConfigError

SchemaT = TypeVar("SchemaT", bound=BaseModel)


def checked(group: str, schema: type[SchemaT], values: Mapping[str, Any]) -> SchemaT:
    """Validates a group's values.

    Args:
        group: The group's key, for error messages.
        schema: The schema.
        values: The group's values by key.

    Returns:
        The schema's object.

    Raises:
        ConfigError: A key is missing or unknown, or has an invalid value.
    """
    try:
        return schema.model_validate(dict(values))
    except ValidationError as error:
        # Imported here because it imports Hydra, which the Python API does not need.
        from clozekit.config.composition.messages import of_validation

        raise ConfigError(_within(group, of_validation(error), schema)) from error


def _within(group: str, message: str, schema: type[BaseModel]) -> str:
    prefixed = []
    for line in message.splitlines():
        unknown = line.removeprefix("unknown key '")
        if unknown == line:
            prefixed.append(f"{group}.{line}")
        else:
            known = f"; the keys in {group} are {', '.join(sorted(schema.model_fields))}"
            nested = "." in unknown
            prefixed.append(f"unknown key '{group}.{unknown}{'' if nested else known}")
    return "\n".join(prefixed)
