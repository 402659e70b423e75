"""Instantiates the objects that configuration groups describe."""

import inspect
import sys
from importlib.util import find_spec
from typing import Any

from clozekit.config.checks.argument_types import check_argument_types
from clozekit.errors import ConfigError, first_line

LIBRARIES = ("builtins.", "torch.", "lightning.", "transformers.", "optuna.")
"""The beginnings of the names of library classes, whose constructors do not check all types."""


def build(group: str, arguments: dict[str, Any], /, *positional: Any, **more: Any) -> Any:
    """Instantiates the class that a group of the user's own configuration names by `_target_`.

    It runs whatever the group names, so it must never get anything that was read from a file of a
    run, a checkpoint or a model; for these see `clozekit.config.stored.classes`.

    Args:
        group: The group's key, for error messages.
        arguments: The group: `_target_` and the constructor's arguments. Nested groups with a
            `_target_` are instantiated first.
        *positional: Positional arguments, passed before those of the group.
        **more: Arguments that a configuration cannot hold. They override the group's.

    Returns:
        The object.

    Raises:
        ConfigError: The class does not exist, does not accept an argument, or rejects a value.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    objects = {k: v for k, v in arguments.items() if not _is_plain(v)}
    plain = {k: v for k, v in arguments.items() if k not in objects and k not in more}
    target = arguments["_target_"]
    try:
        # As a partial, because Hydra would copy the objects in its arguments.
        make = instantiate({**plain, "_partial_": True, "_convert_": "all"})
    except InstantiationException as error:
        raise ConfigError(_not_found(group, str(target), error)) from error
    if str(target).startswith((*LIBRARIES, "clozekit.")):
        check_argument_types(group, make.func, plain)
    try:
        signature = inspect.signature(make.func)
    except ValueError:  # some classes that are written in C have none
        signature = inspect.signature(lambda *_, **__: None)
    try:
        signature.bind(*positional, **make.keywords, **objects, **more)
    except TypeError as error:
        raise ConfigError(f"{group} ({target}): {error}") from error
    try:
        return make(*positional, **objects, **more)
    except (MisconfigurationException, ValueError) as error:
        raise ConfigError(f"{group} ({target}): {error}") from error
    except (TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError) as error:
        # A constructor with **kwargs rejects unknown keywords only in its base class. Constructors
        # of libraries fail in many ways for values of a wrong type.
        is_unknown = any(f"unexpected keyword argument {k!r}" in str(error) for k in arguments)
        if is_unknown or str(target).startswith(LIBRARIES):
            raise ConfigError(f"{group} ({target}): {first_line(error)}") from error
        raise


def check_kind(group: str, target: str, made: Any, kind: type | tuple[type, ...]) -> None:
    """Checks that a group's class is of the kind that the group is for.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(made, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join(f"{each.__module__}.{each.__qualname__}" for each in kinds)
        raise ConfigError(f"{group}._target_={target} is not a {names}")


def _not_found(group: str, target: str, error: Exception) -> str:
    package = target.partition(".")[0]
    is_there = not package.isidentifier() or package in sys.modules or find_spec(package)
    if "." in target and not is_there:
        return (
            f"{group}._target_={target}: there is no package or file {package}; install the "
            "package, or start the command in the folder of the file"
        )
    return f"{group}: {first_line(error).partition(', set env var')[0]}"


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool | list | tuple | dict)
