"""The overrides that a run takes from the command line of the run that it begins from."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from clozekit.config.key_conflicts import has_value_around
from clozekit.config.length import LENGTHS
from clozekit.config.overrides import as_overrides, parsed
from clozekit.documents import read_json_object
from clozekit.errors import DataError
from clozekit.urls import is_url

OWN = (
    *("name", "runs_dir", "resume", "from_run", "from_step", "plan", "trusted_modules", *LENGTHS),
    *("data.cache.dir", "trainer.default_root_dir"),
)
"""The keys that are not taken over."""

_PATH_OF_A_GROUP = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*(@\w[\w.]*)?")
"""A group with a choice, or a key: no part is empty or begins with a point."""

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
    key, equals, _ = override.partition("=")
    name = key.lstrip("+")
    group = name.partition(".")[0].partition("/")[0].partition("@")[0]
    return (
        bool(equals)
        and name not in OWN
        and group not in OWN_GROUPS
        and not key.startswith(("-", "~"))
        and _is_plain(override)
    )


def _is_plain(override: str) -> bool:
    """Whether an override can neither name a class, nor compute a value, nor read a file elsewhere.

    A `$` may begin an interpolation, a backslash may hide one, and a choice of a group is the path
    of a file.
    """
    found = parsed(override)
    if found is None or found.is_sweep_override():
        return False
    try:
        texts = [override, found.key_or_group, *_texts_in(found.value())]
    except Exception:  # Hydra raises errors of many kinds for values that it does not expect
        return False
    if any(mark in text for text in texts for mark in ("$", "\\", "_target_")):
        return False
    # A key without a point may be a group, also one of the user's own.
    choices = texts[2:] if "." not in found.key_or_group else ()
    return all(_PATH_OF_A_GROUP.fullmatch(path) for path in (found.key_or_group, *choices))


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from (*_texts_in(key), *_texts_in(item))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_in(item)
    elif isinstance(value, str):
        yield value
    elif isinstance(text := getattr(value, "text", None), str):
        yield text
    elif value is not None and not isinstance(value, bool | int | float):
        yield "$"  # a function of Hydra's, which is not plain


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
