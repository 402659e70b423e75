"""Classes and arguments that a checkpoint names. They are data until the user trusts their module.

Hydra is not involved: it would import and call whatever `_target_` names. Interpolations such as
`${oc.env:HOME}` stay text.
"""

import inspect
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, StringConstraints

from clozekit.config.checks.checking import checked
from clozekit.config.groups import Closed
from clozekit.config.stored.plain import shown
from clozekit.errors import ConfigError, DataError

ClassT = TypeVar("ClassT")

TARGET = "_target_"
_CLASS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_OF_HYDRA = re.compile(r"_\w+_")

ModuleName = Annotated[str, StringConstraints(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*$")]

TrustedModules = Annotated[
    tuple[ModuleName, ...],
    BeforeValidator(lambda given: () if given is None else given),
]
"""The key `trusted_modules` of the verbs."""


def is_trusted(target: str, trusted: Iterable[str]) -> bool:
    """Whether a class is in one of the trusted modules, or in a module below one of them."""
    return any(target.startswith(f"{module}.") for module in trusted)


def check_trust(
    source: object, targets: Mapping[str, tuple[object, Container[str]]], trusted: Sequence[str]
) -> None:
    """Checks that classes named by a file are clozekit's own or in modules that the user trusts.

    Args:
        source: The file.
        targets: For each group, the class that it names, and clozekit's own classes for the group.
        trusted: The modules that the user trusts.

    Raises:
        DataError: The name of a class is not one, or a class of clozekit does not exist.
        ConfigError: A class is in another module; the message says how to trust it.
    """
    foreign: dict[str, str] = {}
    for group, (target, own) in targets.items():
        if not isinstance(target, str) or not _CLASS.fullmatch(target):
            raise DataError(
                f"{source}: {group}.{TARGET} is {shown(target)}; it should be the name of a class"
            )
        if target in own or is_trusted(target, trusted):
            continue
        if target.startswith("clozekit."):
            raise DataError(f"{source}: {group}.{TARGET}={target} is not a class for {group}")
        foreign[f"{group}.{TARGET}={target}"] = target.rpartition(".")[0]
    if foreign:
        modules = ",".join([*trusted, *dict.fromkeys(foreign.values())])
        raise ConfigError(
            f"{source} names {' and '.join(foreign)}, which is not part of clozekit; if you trust "
            f"that code, set trusted_modules=[{modules}]"
        )


def stored_class(
    source: object,
    group: str,
    target: object,
    own: Container[str],
    trusted: Sequence[str],
    base: type[ClassT],
) -> type[ClassT]:
    """Imports a class that a file names, if it is clozekit's own or in a trusted module.

    Args:
        source: The file.
        group: The group that names it, such as `task`.
        target: The class's full name.
        own: clozekit's own classes for the group.
        trusted: The modules that the user trusts.
        base: The class that it must be derived from.

    Raises:
        DataError: The name is not that of a class.
        ConfigError: The class is not trusted, does not exist, or is of another kind.
    """
    check_trust(source, {group: (target, own)}, trusted)
    module, _, name = str(target).rpartition(".")
    called = f"{group}.{TARGET}={target}"
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{source}: {called} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ConfigError(f"{source}: {called} is not a {base.__name__} class")
    return found


def stored_arguments(
    source: object,
    group: str,
    values: Mapping[str, Any],
    schema: type[Closed] | None,
    trusted: Sequence[str],
) -> dict[str, Any]:
    """Returns the arguments in a group that was read from a file.

    Args:
        source: The file.
        group: The group's name.
        values: The group.
        schema: The schema of the arguments; None for a user's own class. The arguments of such a
            class may contain objects of other classes in trusted modules, by `_target_`.
        trusted: The modules that the user trusts.

    Raises:
        DataError: An argument is invalid.
        ConfigError: A class is not trusted.
    """
    arguments = {key: value for key, value in values.items() if key != TARGET}
    if schema is None:
        return {k: _made(source, f"{group}.{k}", v, trusted) for k, v in arguments.items()}
    try:
        given = checked(group, schema, arguments)
    except ConfigError as error:
        raise DataError(f"{source}: {error}".replace("\n", "; ")) from error
    return {key: getattr(given, key) for key in arguments}


def construct(source: object, group: str, made_by: type[ClassT], arguments: Any) -> ClassT:
    """Constructs an object of a class that a file names.

    Raises:
        ConfigError: The class does not accept the arguments.
    """
    try:
        inspect.signature(made_by).bind(**arguments)
        return made_by(**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{source}: {group} ({made_by.__name__}): {error}") from error


def _made(source: object, name: str, value: Any, trusted: Sequence[str]) -> Any:
    """Makes the objects in an argument of a user's own class; plain values stay as they are."""
    if isinstance(value, list):
        return [_made(source, name, inner, trusted) for inner in value]
    if not isinstance(value, Mapping):
        return value
    made = {key: _made(source, f"{name}.{key}", v, trusted) for key, v in value.items()}
    if TARGET not in value:
        return made
    target = made.pop(TARGET)
    if special := [key for key in made if _OF_HYDRA.fullmatch(key)]:
        raise DataError(f"{source}: {name}.{special[0]} is not supported in a checkpoint")
    return construct(source, name, stored_class(source, name, target, (), trusted, object), made)
