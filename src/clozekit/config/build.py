"""From a group of the configuration to the object that it describes."""

import inspect
from typing import Any

from clozekit.errors import ConfigError


def build(group: str, arguments: dict[str, Any], /, *positional: Any, **more: Any) -> Any:
    """Makes the object that a group names by `_target_`.

    Args:
        group: The group's key, for messages.
        arguments: The group: `_target_` and the constructor's arguments; groups inside it that have
            a `_target_` are made first.
        *positional: Arguments before those of the group.
        **more: Arguments that no configuration can hold; they win over the group's.

    Returns:
        The object.

    Raises:
        ConfigError: The class is not there, or takes no such argument, or refuses a value.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    objects = {k: v for k, v in arguments.items() if not _is_plain(v)}
    plain = {k: v for k, v in arguments.items() if k not in objects and k not in more}
    target = arguments["_target_"]
    try:
        # As a partial, for Hydra would copy the objects that it passes on.
        make = instantiate({**plain, "_partial_": True, "_convert_": "all"})
    except InstantiationException as error:
        first_line = str(error).splitlines()[0].partition(", set env var")[0]
        raise ConfigError(f"{group}: {first_line}") from error
    try:
        inspect.signature(make.func).bind(*positional, **make.keywords, **objects, **more)
    except TypeError as error:
        raise ConfigError(f"{group} ({target}): {error}") from error
    try:
        return make(*positional, **objects, **more)
    except (MisconfigurationException, ValueError) as error:
        raise ConfigError(f"{group} ({target}): {error}") from error
    except TypeError as error:
        # A constructor that passes keywords on to its base refuses them there.
        if any(f"unexpected keyword argument {name!r}" in str(error) for name in arguments):
            raise ConfigError(f"{group} ({target}): {error}") from error
        raise


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool | list | tuple | dict)
