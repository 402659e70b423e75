"""Checks the values of a library class's arguments against its annotations.

Constructors of torch and Lightning do not check all types: `AdamW(fused="x")` is a fused AdamW.
"""

import inspect
from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from clozekit.config.values import as_yaml
from clozekit.errors import ConfigError

_WORDS = {bool: "true or false", int: "an integer", float: "a number", str: "text"}
_NOT_IN_YAML = ("Tensor",)
"""Names of annotated types that a configuration cannot hold."""


def check_argument_types(group: str, made: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Checks arguments that are annotated as booleans, numbers, texts or literals.

    Args:
        group: The group's key, for error messages.
        made: The class or function.
        arguments: Its keyword arguments.

    Raises:
        ConfigError: An argument has another type.
    """
    try:
        parameters = inspect.signature(made).parameters
    except ValueError:  # some classes that are written in C have no signature
        return
    for name, value in arguments.items():
        if name not in parameters or isinstance(value, dict):
            continue
        parameter = parameters[name]
        kinds = list(_members(parameter.annotation))
        if parameter.default is None:
            kinds.append(NoneType)
        if all(_is_simple(kind) for kind in kinds) and not any(_fits(value, k) for k in kinds):
            allowed = " or ".join(dict.fromkeys(_in_words(k) for k in kinds if k is not NoneType))
            null = " or null" if NoneType in kinds else ""
            raise ConfigError(f"{group}.{name}={as_yaml(value)}: it should be {allowed}{null}")


def _members(annotation: Any) -> Iterator[Any]:
    """Yields the types of a union, or the type itself, without those that YAML does not have."""
    if get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    elif getattr(annotation, "__name__", "") not in _NOT_IN_YAML:
        yield annotation


def _is_simple(kind: Any) -> bool:
    return kind is NoneType or kind in _WORDS or get_origin(kind) is Literal


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(kind))
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _in_words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(str(as_yaml(choice)) for choice in get_args(kind))
    return _WORDS[kind]
