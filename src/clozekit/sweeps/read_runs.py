"""Reads the folders of runs: their configurations, outcomes and metrics."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from clozekit.config.composition.overrides import parsed
from clozekit.config.values import flat
from clozekit.documents import read_json_object, read_yaml
from clozekit.errors import ConfigError, DataError
from clozekit.output.display import printable
from clozekit.runs.folder import RUN_LOCK, RunFolder
from clozekit.runs.lock import is_held
from clozekit.runs.metrics_file import read_metrics_of
from clozekit.sweeps.job import JOB_LOCK, Status
from clozekit.sweeps.record import FILE, read_record

Value = str | int | float | bool | None
Mode = Literal["min", "max"]

CONSTANTS: Mapping[str, Value] = {"null": None, "true": True, "false": False}

STEP = "step"

_NO_RUNS = ("checkpoints", "wandb", "tensorboard")
"""Folders in the folder of a run that may be large, and contain no runs."""

LONGEST_COMMAND = 2**17
"""The maximum length of an argument on Linux."""


class Outcome(StrEnum):
    """The outcome of a run."""

    FINISHED = "finished"
    FAILED = "failed"
    PRUNED = "pruned"
    INTERRUPTED = "interrupted"
    UNFINISHED = "unfinished"
    """It has no results, and no process of this machine trains it; the reason is unknown."""
    RUNNING = "running"
    MISSING = "missing"
    """It is in a sweep's record, but its folder does not exist."""


@dataclass(frozen=True)
class FoundRun:
    """A run as read from its folder and its sweep's record.

    Attributes:
        name: The run's folder, relative to the folder of the report.
        folder: The run's folder.
        outcome: The run's outcome.
        own: The overrides that differ between the jobs of its sweep.
        given: All overrides of its command line.
        config: Its flat configuration.
        metrics: Its final metrics.
        monitor: The monitored metric, and whether its `min` or `max` is best.
        command: Its command line; empty if unknown.
        parent: The folder and the step of the run that it began from, if any.
        data: The checksums of its local files of rows, by path.
    """

    name: str
    folder: Path
    outcome: Outcome
    own: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    monitor: tuple[str, Mode] | None = None
    command: tuple[str, ...] = ()
    parent: tuple[str, int] | None = None
    data: Mapping[str, str] = field(default_factory=dict)

    def value(self, key: str) -> Value:
        """Returns a key's value: what its sweep set, or else the configuration or the command line.

        The run may have replaced what was given, such as a budget by its number of steps, but the
        setting is what was given. The command line also has the choices of groups. A group that is
        not on the command line has no value.
        """
        if key in self.own:
            return _as_value(self.own[key])
        found = self.config.get(key)
        if found is None and key in self.given:
            return _as_value(self.given[key])
        return found if isinstance(found, Value) else json.dumps(found)


def read_runs(folder: Path) -> list[FoundRun]:
    """Reads a run, a sweep, or a folder that contains runs and sweeps at any depth.

    A sweep's jobs are in the order of its record, including those that never started.

    Raises:
        ConfigError: The folder does not exist or contains no run, or a record has a newer version.
        DataError: A file of a run cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"folder={folder} does not exist")
    if _is_run(folder):
        place = folder.resolve()
        record = read_record(place.parent)
        noted = {job["name"]: job for job in record.get("jobs", ())}.get(place.name)
        return [_read_run(folder, place.name, noted, _metric_of_study(record, place.parent))]
    runs = list(_walk(folder, folder))
    if not runs:
        raise ConfigError(f"folder={folder} does not contain a run")
    return runs


def _walk(folder: Path, root: Path) -> Iterator[FoundRun]:
    record = read_record(folder)
    jobs = {job["name"]: job for job in record.get("jobs", ())}
    study_metric = _metric_of_study(record, folder)
    for name, noted in jobs.items():
        path = folder / name
        yield _read_run(path, path.relative_to(root).as_posix(), noted, study_metric)
    for child in sorted(folder.iterdir()):
        if not child.is_dir() or child.name in jobs or child.name.startswith("."):
            continue
        if _is_run(child):
            yield _read_run(child, child.relative_to(root).as_posix(), None, study_metric)
            yield from _runs_inside(child, root)
        elif not child.is_symlink():
            yield from _walk(child, root)


def _runs_inside(run: Path, root: Path) -> Iterator[FoundRun]:
    """Reads the runs in a run's folder: `name=first/more` is one in that of `name=first`.

    Loggers leave folders with a `config.yaml` too, so these runs have a record.
    """
    for child in sorted(run.iterdir()):
        if not child.is_dir() or child.is_symlink() or child.name.startswith("."):
            continue
        if (child / "run.json").is_file():
            yield _read_run(child, child.relative_to(root).as_posix(), None, None)
        if child.name not in _NO_RUNS:
            yield from _runs_inside(child, root)


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("run.json", "config.yaml", "job.log"))


def _read_run(
    folder: Path, name: str, noted: dict[str, Any] | None, study_metric: tuple[str, Mode] | None
) -> FoundRun:
    run = RunFolder(folder)
    record = read_json_object(run.record_file)
    results = read_metrics_of(run.results_file)
    line = record.get("command") or _command_in_log(folder / "job.log")
    command = _arguments(line, run.record_file)
    return FoundRun(
        name=name,
        folder=folder,
        outcome=_outcome(run, noted),
        own=overrides_of(noted["overrides"]) if noted else {},
        given=overrides_of(command[1:]),
        config=_read_config(run.config_file),
        metrics={key: value for key, value in results.items() if key != STEP},
        monitor=study_metric or _monitor_of(record),
        command=command,
        parent=_parent_of(record),
        data=_checksums_in(record),
    )


def _parent_of(record: Mapping[str, Any]) -> tuple[str, int] | None:
    parent = record.get("parent")
    if not isinstance(parent, dict):
        return None
    run, step = parent.get("run"), parent.get("step")
    return (run, step) if isinstance(run, str) and isinstance(step, int) else None


def _checksums_in(record: Mapping[str, Any]) -> dict[str, str]:
    found = record.get("data")
    return {str(path): str(each) for path, each in found.items()} if isinstance(found, dict) else {}


def _outcome(run: RunFolder, noted: dict[str, Any] | None) -> Outcome:
    if run.results_file.is_file() or "merged" in read_json_object(run.record_file):
        return Outcome.FINISHED
    if not _is_run(run.path):
        is_told = noted is not None and noted["status"] in (Status.FAILED, Status.INTERRUPTED)
        return Outcome(noted["status"]) if noted and is_told else Outcome.MISSING
    if any(is_held(run.path / lock) for lock in (JOB_LOCK, RUN_LOCK)):
        return Outcome.RUNNING
    status = noted["status"] if noted else None
    if status in (Status.FAILED, Status.PRUNED):
        return Outcome(status)
    # If the record says "running" but the lock is free, the job's sweep was killed.
    was_saved = (run.checkpoints / "preempted.ckpt").is_file()
    if status in (Status.INTERRUPTED, Status.RUNNING) or was_saved:
        return Outcome.INTERRUPTED
    return Outcome.UNFINISHED


def _command_in_log(log_file: Path) -> str:
    """Finds the command of a job that ended before it wrote its own record."""
    if not log_file.is_file():
        return ""
    with log_file.open(encoding="utf-8", errors="replace") as log:
        first = log.readline(LONGEST_COMMAND)
    return first.removeprefix("$ ") if first.startswith("$ clozekit ") else ""


def overrides_of(arguments: tuple[str, ...] | list[str]) -> dict[str, str]:
    """Returns the overrides of a command line that set a key of the run; the last one counts."""
    found = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and key and key[0] not in "-~" and not key.startswith(("hydra.", "hydra/")):
            found[key.lstrip("+")] = value
    return found


def _metric_of_study(record: Mapping[str, Any], folder: Path) -> tuple[str, Mode] | None:
    """Returns the metric that was set for an Optuna sweep, if any."""
    if (metric := record.get("metric")) is not None:
        return metric, "max" if record.get("direction") == "maximize" else "min"
    # Records of earlier versions have it in the command alone.
    arguments = _arguments(record.get("command", ""), folder / FILE)
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    metric = given.get("hydra.sweeper.metric", "null").strip("'\"")
    mode: Mode = "max" if given.get("hydra.sweeper.direction") == "maximize" else "min"
    return None if metric == "null" else (metric, mode)


def _read_config(path: Path) -> dict[str, Any]:
    values = read_yaml(path) if path.is_file() else None
    return flat(values) if isinstance(values, dict) else {}


def _arguments(command: object, source: Path) -> tuple[str, ...]:
    """Splits a command line that was read from a file."""
    try:
        return tuple(shlex.split(command)) if isinstance(command, str) else ()
    except ValueError as error:
        raise DataError(f"{source} cannot be read: its command line: {error}") from error


def _monitor_of(record: Mapping[str, Any]) -> tuple[str, Mode] | None:
    name, mode = record.get("monitor"), record.get("monitor_mode")
    return (name, mode) if isinstance(name, str) and mode in ("min", "max") else None


def _as_value(text: str) -> Value:
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    if text[:1] in ("[", "{") and (override := parsed(f"key={text}")) is not None:
        return json.dumps(override.value(), default=str)  # as of a configuration
    return CONSTANTS[text.lower()] if text.lower() in CONSTANTS else text.strip("'\"")


def as_text(value: Value) -> str:
    """Formats a value as in an override. A whole number looks the same as an int and a float."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return printable(str(value)).removesuffix(".0") if isinstance(value, float) else str(value)
