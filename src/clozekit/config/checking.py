"""Checks a group's values by its schema; what is wrong is told in a sentence a key."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from clozekit.errors import ConfigError

SchemaT = TypeVar("SchemaT", bound=BaseModel)


def checked(group: str, schema: type[SchemaT], values: Mapping[str, Any]) -> SchemaT:
    """Makes a schema's object of the values that were given.

    Args:
        group: The group's key, for messages.
        schema: The schema.
        values: The group's values by their keys.

    Raises:
        ConfigError: A key is missing or unknown, or has a value that cannot be used.
    """
    try:
        return schema.model_validate(dict(values))
    except ValidationError as error:
        # Imported here: it knows Hydra, which a use from Python does not need.
        from clozekit.config.messages import of_validation

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
