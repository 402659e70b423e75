"""The overrides that a run takes from the command line of the run that it begins from."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from clozekit.config.key_conflicts import has_value_around
from clozekit.config.length import LENGTHS
from clozekit.config.overrides import as_overrides, parsed
from clozekit.documents import read_json_object
from clozekit.errors import DataError
from clozekit.urls import is_url

OWN = ("name", "runs_dir", "resume", "from_run", "from_step", "plan", "trusted_modules", *LENGTHS)
"""The keys that are not taken over."""

OWN_GROUPS = ("logger", "callbacks", "hydra", "local", "debug")
"""The groups of which nothing is taken over."""


def overrides_of_parent(overrides: Sequence[str]) -> list[str]:
    """Returns the overrides of the run that `from_run` names, without those that are given.

    Classes and interpolations are left out: what is read from a run is never executed.

    Args:
        overrides: The overrides of the command line.

    Raises:
        DataError: The record of the run cannot be read.
    """
    from_run = _value_of("from_run", overrides)
    if from_run is None or is_url(from_run):
        return []
    file = Path(from_run).expanduser() / "run.json"
    command = read_json_object(file).get("command")
    try:
        words = shlex.split(command) if isinstance(command, str) else []
    except ValueError as error:
        raise DataError(f"{file} cannot be read: its command line: {error}") from error
    if words[1:2] != ["train"]:
        return []
    given = {_key(override) for override in overrides}
    keys = sorted(given)
    return [
        override
        for override in as_overrides("train", words[2:])
        # A choice of a group, such as `schedule=wsd`, replaces all keys of the group.
        if _is_taken_over(override)
        and given.isdisjoint(_key_and_groups(override))
        # Keys inside it are given, which a single value does not have.
        and not has_value_around(override, keys)
    ]


def _is_taken_over(override: str) -> bool:
    key, equals, value = override.partition("=")
    name = key.lstrip("+")
    group = name.partition(".")[0].partition("/")[0].partition("@")[0]
    is_plain = "_target_" not in override and "${" not in value
    return (
        bool(equals)
        and name not in OWN
        and group not in OWN_GROUPS
        and (is_plain and not key.startswith(("-", "~")))
    )


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+")


def _key_and_groups(override: str) -> set[str]:
    parts = _key(override).split(".")
    return {".".join(parts[:number]) for number in range(1, len(parts) + 1)}


def _value_of(key: str, overrides: Sequence[str]) -> str | None:
    for override in reversed(overrides):
        if _key(override) == key and (found := parsed(override)) is not None:
            value = found.value()
            text = getattr(value, "text", value)
            return text if isinstance(text, str) else None
    return None
