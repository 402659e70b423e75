"""Reads JSON and YAML files that may come from someone else."""

import json
from pathlib import Path
from typing import Any, TypeGuard

import yaml

from clozekit.errors import DataError, first_line

DEEPEST = 64
"""Maximum depth of a YAML file; a deeper one would exhaust the stack."""

# Ten times faster, if available.
_FASTEST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_OF_JSON = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")
)
"""The tags of values that JSON has, too."""


class _Loader(_FASTEST):  # type: ignore[misc]
    """Reads values that JSON has, too; dates are text, and other tags are refused."""

    yaml_constructors = {  # noqa: RUF012  as in PyYAML
        tag: constructor
        for tag, constructor in _FASTEST.yaml_constructors.items()
        if tag is None or tag in _OF_JSON
    }
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag in _OF_JSON]
        for first, resolvers in _FASTEST.yaml_implicit_resolvers.items()
    }


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error})") from error


def is_text(value: object) -> TypeGuard[str]:
    """Whether a value is text; JSON may have half of a surrogate pair, which UTF-8 has not."""
    return isinstance(value, str) and not any("\ud800" <= each <= "\udfff" for each in value)


def read_json_object(path: Path) -> dict[str, Any]:
    """Reads a JSON file with an object; returns an empty one if the file does not exist.

    Raises:
        DataError: The file cannot be read, or has something else.
    """
    if not path.is_file():
        return {}
    values = read_json(path)
    if not isinstance(values, dict):
        raise DataError(f"{path} cannot be read: it should be a JSON object")
    return values


def read_yaml(path: Path) -> Any:
    """Reads a YAML file with plain values. Aliases are refused.

    Nested aliases can expand a few lines to gigabytes.
    clozekit never writes any.

    Raises:
        DataError: The file cannot be read, or has an alias.
    """
    try:
        text = path.read_text(encoding="utf-8")
        _check_events(path, text)
        return yaml.load(text, _Loader)
    except DataError:
        raise
    except Exception as error:  # Some invalid values are a TypeError or an AttributeError.
        raise DataError(f"{path} cannot be read as YAML ({first_line(error)})") from error


def _check_events(path: Path, text: str) -> None:
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent):
            raise DataError(f"{path} has an alias, *{event.anchor}, which is refused")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise DataError(f"{path} cannot be read as YAML: it has more than {DEEPEST} levels")
