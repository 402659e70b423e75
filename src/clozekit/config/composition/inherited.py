"""The overrides that a run takes from the command line of the run that it begins from."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep

from clozekit.config.checks.key_conflicts import has_value_around
from clozekit.config.composition.overrides import as_overrides, parsed
from clozekit.config.length import LENGTHS
from clozekit.config.schedule import UserScheduleConfig
from clozekit.config.train import TrainConfig
from clozekit.documents import read_json_object
from clozekit.errors import ConfigError, DataError
from clozekit.storage.urls import is_url

OWN = (
    *("name", "runs_dir", "resume", "from_run", "from_step", "plan", "trusted_modules", *LENGTHS),
    *("data.cache.dir", "trainer.default_root_dir", "trainer.max_time", "trainer.min_steps"),
)
"""The keys that are not taken over."""

_PATH_OF_A_GROUP = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*(@\w[\w.]*)?")
"""A group with a choice, or a key: no part is empty or begins with a point."""

OWN_GROUPS = ("logger", "callbacks", "hydra", "local", "debug")
"""The groups of which nothing is taken over."""

_SINGLE = "hydra.mode=RUN"
"""It is in the command of a job whose experiment would otherwise be a sweep."""

_STEP = re.compile(r"step (\d+)\b")
"""How a record says from which step a run was resumed."""

_DECAY_RATIO = "schedule.decay_ratio"


def overrides_of_parent(overrides: Sequence[str], is_multirun: bool = False) -> list[str]:
    """Returns the overrides of the run that `from_run` names, without those that are given.

    Classes and interpolations are left out: what is read from a run is never executed.

    Args:
        overrides: The overrides of the command line.
        is_multirun: Whether the command is a sweep, in which `from_run` may have several values.

    Raises:
        ConfigError: `from_run` is not a run, or names runs that were trained by different commands.
        DataError: The record of a run cannot be read.
    """
    runs = _values_of("from_run", overrides)
    first, *others = [_of_run(run, overrides, is_multirun) for run in runs] or [[]]
    for other in others:
        if differing := sorted({_key(override) for override in {*first} ^ {*other}}):
            raise ConfigError(
                f"from_run={','.join(runs)}: the commands of these runs differ in "
                f"{', '.join(differing)}, so no key can be taken from them; set {differing[0]}=… "
                "for all runs, or begin from one run at a time"
            )
    return first


def _of_run(from_run: str, overrides: Sequence[str], is_multirun: bool) -> list[str]:
    words = _command_of(from_run, _step_in(overrides))
    given = {_key(override) for override in overrides}
    keys = sorted(given)
    is_single = not is_multirun and "experiment" not in given
    return [
        override
        for override in as_overrides("train", words)
        # A choice of a group, such as `schedule=wsd`, replaces all keys of the group.
        if (_is_taken_over(override) or (override == _SINGLE and is_single))
        and given.isdisjoint(_key_and_groups(override))
        # Keys inside it are given, which a single value does not have.
        and not has_value_around(override, keys)
    ]


def _step_in(overrides: Sequence[str]) -> int | None:
    """Returns the step of the other run that a run begins at; None for its last one, or several.

    A run that has begun already keeps its step, although the other run may have gone on since.
    """
    given = {_key(override): override for override in overrides}
    step = parsed(given.get("from_step", "from_step=null"))
    value = None if step is None else step.value()
    if value is not None:
        return value if isinstance(value, int) else None
    name, runs_dir = (_values_of(key, overrides) for key in ("name", "runs_dir"))
    if len(name) != 1 or len(runs_dir) > 1:
        return None
    default = TrainConfig.model_fields["runs_dir"].default
    folder = Path(*(runs_dir or [default]), *name).expanduser()
    with suppress(DataError):  # a damaged record is told where the run is resumed
        parent = read_json_object(folder / "run.json").get("parent")
        if isinstance(parent, dict) and isinstance(begun := parent.get("step"), int):
            return begun
    return None


def _command_of(from_run: str, step: int | None) -> list[str]:
    """Reads the arguments of the command that trained a run up to a step.

    A run that was resumed has several commands, and each may have changed some keys.

    Args:
        from_run: The folder of the run.
        step: The step; None for the last one.

    Returns:
        The arguments; none if the command is not known.
    """
    folder = Path(from_run).expanduser()
    file = folder / "run.json"
    # The record may have been lost, but without checkpoints a run cannot be begun from.
    if is_url(from_run) or not (file.is_file() or (folder / "checkpoints").is_dir()):
        raise ConfigError(f"from_run={from_run} should be the folder of a run with checkpoints")
    record = read_json_object(file)
    if "merged" in record:
        raise ConfigError(
            f"from_run={from_run} has averaged weights without the states of an optimizer; begin "
            f"from them with encoder.pretrained={from_run}"
        )
    command = record.get("command")
    for resumed in _resumptions(record):
        found = _STEP.match(str(resumed.get("from")))
        if step is None or (int(found[1]) if found else 0) < step:
            command = resumed.get("command")
    try:
        words = shlex.split(command) if isinstance(command, str) else []
    except ValueError as error:
        raise DataError(f"{file} cannot be read: its command line: {error}") from error
    return words[2:] if words[1:2] == ["train"] else []


def _resumptions(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    known = record.get("resumed")
    return [each for each in known if isinstance(each, dict)] if isinstance(known, list) else []


def check_decay_ratio(config: TrainConfig, overrides: Sequence[str]) -> None:
    """Checks that no `schedule.decay_ratio` is given for a run that begins from another.

    It is a share of the whole length, but such a run decays from its beginning on. The share of the
    other run's own command says nothing about this, and stays.

    Args:
        config: The configuration.
        overrides: The overrides of the command line, with those of the other run.

    Raises:
        ConfigError: It is given.
    """
    schedule = config.schedule
    is_used = schedule.decay_ratio is not None and schedule.decay_steps is None
    if config.from_run is None or isinstance(schedule, UserScheduleConfig) or not is_used:
        return
    words = _command_of(config.from_run, config.from_step)
    theirs = [parsed(each) for each in as_overrides("train", words)]
    of_parent = [each.value() for each in theirs if each and each.key_or_group == _DECAY_RATIO]
    given = [each for each in map(parsed, overrides) if each and each.key_or_group == _DECAY_RATIO]
    if given and given[-1].value() not in of_parent[-1:]:
        raise ConfigError(
            f"{_DECAY_RATIO}={schedule.decay_ratio} has no effect with from_run={config.from_run}: "
            "the decay takes all further steps, or the last schedule.decay_steps; set that one"
        )


def _is_taken_over(override: str) -> bool:
    key, equals, _ = override.partition("=")
    name = key.lstrip("+")
    group = name.partition(".")[0].partition("/")[0].partition("@")[0]
    return (
        bool(equals)
        and group not in OWN_GROUPS
        and not key.startswith(("-", "~"))
        and _is_plain(override)
    )


def _is_plain(override: str) -> bool:
    """Whether an override sets no key of `OWN`, names no class, and computes and reads nothing.

    A `$` may begin an interpolation, a backslash may hide one, and a choice of a group is the path
    of a file.
    """
    found = parsed(override)
    if found is None or found.is_sweep_override():
        return False
    try:
        if any(key in OWN for key in _keys_set_by(found.key_or_group, found.value())):
            return False
        texts = [override, found.key_or_group, *_texts_in(found.value())]
    except Exception:  # Hydra raises errors of many kinds for values that it does not expect
        return False
    if any(mark in text for text in texts for mark in ("$", "\\", "_target_")):
        return False
    # A key without a point may be a group, also one of the user's own.
    choices = texts[2:] if "." not in found.key_or_group else ()
    return all(_PATH_OF_A_GROUP.fullmatch(path) for path in (found.key_or_group, *choices))


def _keys_set_by(key: str, value: Any) -> Iterator[str]:
    """Yields a key and, if its value is a mapping, all keys that this sets."""
    yield key
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _keys_set_by(f"{key}.{getattr(name, 'text', name)}", inner)


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


def _values_of(key: str, overrides: Sequence[str]) -> list[str]:
    """Returns the texts that an override sets a key to: several in a sweep, none for null."""
    for override in reversed(overrides):
        if _key(override) == key and (found := parsed(override)) is not None:
            value = found.value()
            choices = value.list if isinstance(value, ChoiceSweep) else [value]
            texts = [getattr(choice, "text", choice) for choice in choices]
            return [text for text in texts if isinstance(text, str)]
    return []
