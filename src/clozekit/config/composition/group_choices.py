"""Checks the choices of configuration groups, and finds the choices that have a key."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import ChoiceSweep, Override

from clozekit.config.composition.location import conf_dir
from clozekit.config.composition.overrides import LIST_GROUPS, parsed
from clozekit.config.train_groups import COMPILE_CHOICES
from clozekit.errors import ConfigError

OPTIONAL = ("experiment", "objective", "debug", "local")
"""The groups that may be null."""

LAUNCHER = "hydra/launcher"


def check_choices(verb: str, overrides: Sequence[str], is_multirun: bool) -> None:
    """Checks the values that Hydra itself rejects late, or with a traceback.

    Raises:
        ConfigError: An override has several values outside a sweep, its key is a group and its
            value is not the name of a choice, or a sweep has Hydra's own launcher.
    """
    for text in overrides:
        override = None if text.startswith("-") else parsed(text)
        if override is None or override.is_delete():
            continue
        key = override.key_or_group
        lists = LIST_GROUPS.get(verb, ())
        if override.is_sweep_override() and not is_multirun:
            raise ConfigError(f"{text}: {_several(verb, key, override, key in lists)}")
        if not key or key.startswith("@"):
            raise ConfigError(f"{text!r} is not an override; write key=value")
        if is_multirun and key == LAUNCHER and override.value() == "basic":
            # Before Hydra writes a file of its own.
            raise refused_launcher(override.value())
        if is_group(key):
            for choice in _choices(override):
                _check_choice(key, choice, text, is_list=key in lists)


def refused_launcher(choice: Any) -> ConfigError:
    """Returns the error of a launcher that runs jobs in its own process, under one name."""
    return ConfigError(
        f"{LAUNCHER}={choice} is not supported: it gives all jobs of a sweep the same folder; use "
        f"{LAUNCHER}=processes, which is the default, or submitit"
    )


def is_group(key: str) -> bool:
    """Whether a key is a group of `conf/`, such as `data` or `hydra/launcher`."""
    try:
        return not Path(key).is_absolute() and (conf_dir() / key).is_dir()
    except (OSError, ValueError):  # too long for a path
        return False


def choices_of(group: str) -> list[str]:
    """Lists the choices of a group, including those in folders, which Hydra does not list."""
    folder = conf_dir() / group
    return sorted(str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.yaml"))


def choices_with(key: str) -> tuple[str, list[str]]:
    """Finds the choices of a group that have a key, without those in folders.

    Args:
        key: The full path of the key, such as `task.class_weights`.

    Returns:
        The group and its choices; no choices if the key is in none, or is in no group.
    """
    parts = key.split(".")
    depth = 2 if parts[0] == "hydra" else 1  # hydra/sweeper is a group for itself
    group, path = "/".join(parts[:depth]), parts[depth:]
    if not path or not is_group(group):
        return group, []
    named = [choice for choice in choices_of(group) if "/" not in choice]
    if group == "data":  # not those of single datasets
        named = [choice for choice in named if choice in choices_of("task")]
    return group, [c for c in named if _has(values_of(group, c), path)]


def _several(verb: str, key: str, override: Override, is_list: bool) -> str:
    given = str(override.input_line).partition("=")[2]
    if not isinstance(override.value(), ChoiceSweep) or "(" in given:
        if verb != "train":
            return "it should be one value; run this verb once per value"
        return "several values need -m, which trains once for each of them"
    if is_list:
        return f"write {key}=[{given}] for all of them"
    if verb != "train":  # which alone has -m
        return f"write '{key}=[{given}]' for a list, and \"{key}='{given}'\" for text with a comma"
    return (
        "several values need -m, which trains once for each of them; write "
        f"{key}=[{given}] for a list, and \"{key}='{given}'\" for text with a comma"
    )


def _choices(override: Override) -> Iterator[Any]:
    value = override.value()
    if isinstance(value, ChoiceSweep):
        yield from value.list
    elif not override.is_sweep_override():
        yield value


def _check_choice(group: str, choice: Any, text: str, is_list: bool) -> None:
    if isinstance(choice, bool) and group == "compile":
        raise ConfigError(f"{text}: it should be {COMPILE_CHOICES}")
    if (choice is None and group in OPTIONAL) or isinstance(choice, dict):
        return
    names = choice if is_list and isinstance(choice, list) else [choice]
    for name in names:
        written = str(getattr(name, "text", name))
        if not isinstance(name, str) and not hasattr(name, "text"):
            break
        if not written.isprintable() or any(len(part) > 200 for part in written.split("/")):
            break
        if not written.strip():
            break
    else:
        return
    raise ConfigError(f"{text}: it should be one of {', '.join(choices_of(group))}")


def values_of(group: str, choice: str) -> dict[str, Any]:
    """Reads a choice's file and those of the same group that it starts from."""
    read = yaml.safe_load((conf_dir() / group / f"{choice}.yaml").read_text(encoding="utf-8"))
    values: dict[str, Any] = read or {}
    for default in values.pop("defaults", ()):
        if isinstance(default, str) and default != "_self_":
            values = {**values_of(group, default), **values}
    return values


def overridden_by(group: str, choice: str) -> dict[str, str]:
    """Reads which choices of other groups a choice's file makes; none if it is not clozekit's."""
    file = conf_dir() / group / f"{choice}.yaml"
    if choice not in choices_of(group):
        return {}
    read = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    return {
        str(key).removeprefix("override /"): str(chosen)
        for default in read.get("defaults", ())
        if isinstance(default, dict)
        for key, chosen in default.items()
        if str(key).startswith("override /")
    }


def _has(values: Any, path: list[str]) -> bool:
    for name in path:
        if not isinstance(values, dict) or name not in values:
            return False
        values = values[name]
    return True
