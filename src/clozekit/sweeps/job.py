"""A job of a sweep: a single run, with its arguments and the results in its folder."""

import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from clozekit.config.changes import Effect, effect_of
from clozekit.config.checks.key_conflicts import WITH_WEIGHTS
from clozekit.config.encoder import OWN_ENCODER
from clozekit.config.schedule import ScheduleConfig, restarted
from clozekit.config.train import TrainConfig
from clozekit.config.values import as_yaml, flat
from clozekit.documents import read_yaml
from clozekit.errors import ConfigError, DataError
from clozekit.exit_codes import INTERRUPTED, PREEMPTED, PRUNED, TERMINATED
from clozekit.runs.folder import RunFolder, refuse_existing
from clozekit.runs.metrics_file import read_metrics_of
from clozekit.runs.parent import decay_from_of

INTERRUPTED_CODES = (
    PREEMPTED,
    INTERRUPTED,
    TERMINATED,
    *(-number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)),
)
"""Exit codes after a signal. They are negative if the handlers were not installed yet."""

JOB_LOCK = ".lock"
"""The file that is locked while a job's process is alive."""


class Status(StrEnum):
    """The status of a job."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    PRUNED = "pruned"


class InvalidJobError(ConfigError):
    """The configuration of a job is invalid, whatever its folder contains."""


@dataclass(frozen=True)
class Job:
    """A single run of a sweep.

    Attributes:
        name: The job's name in the sweep, derived from its overrides.
        overrides: The overrides that differ between jobs.
        arguments: The arguments of `clozekit` on the job's command line.
        config: The job's complete configuration.
    """

    name: str
    overrides: tuple[str, ...]
    arguments: tuple[str, ...]
    config: TrainConfig

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.config.run_dir

    @property
    def log_file(self) -> Path:
        """The output of all starts of the job."""
        return self.folder / "job.log"

    @property
    def lock_file(self) -> Path:
        """The job's `JOB_LOCK`."""
        return self.folder / JOB_LOCK

    def devices(self) -> int | None:
        """Returns the number of processes per machine; None if it depends on the hardware."""
        devices = (self.config.trainer.model_extra or {}).get("devices", "auto")
        if isinstance(devices, list):
            return len(devices)
        if isinstance(devices, int | str) and str(devices).isdecimal():
            return int(devices)
        return None

    def num_nodes(self) -> int:
        """Returns the number of machines that the job needs."""
        return int((self.config.trainer.model_extra or {}).get("num_nodes", 1))

    def uses_gpus(self) -> bool:
        """Whether the job uses GPUs if available."""
        return self.needs_gpus() or self._accelerator() == "auto"

    def needs_gpus(self) -> bool:
        """Whether the job requires GPUs."""
        return self._accelerator() in ("gpu", "cuda")

    def _accelerator(self) -> str:
        return str((self.config.trainer.model_extra or {}).get("accelerator", "auto"))

    def results(self) -> dict[str, float] | None:
        """Reads the job's final metrics; None if it has not finished."""
        file = RunFolder(self.folder).results_file
        if not file.is_file():
            return None
        try:
            return read_metrics_of(file)
        except DataError:
            return None  # damaged: the job is resumed at its end and writes it again

    def monitored(self) -> tuple[str, float] | None:
        """Reads the name and value of the monitored metric; None if the job has not finished."""
        name, results = self.monitor(), self.results()
        return None if results is None or name not in results else (name, results[name])

    def monitor(self) -> str | None:
        """Reads the name of the monitored metric; None if the run has not begun."""
        name = (RunFolder(self.folder).read_record() or {}).get("monitor")
        return name if isinstance(name, str) else None

    def status_after(self, exit_code: int) -> Status:
        """Returns the job's status after its process has ended."""
        # fast_dev_run writes nothing.
        has_results = self.results() is not None or bool(self.config.trainer.fast_dev_run)
        if exit_code == 0 and has_results:
            return Status.FINISHED
        if exit_code == PRUNED:
            return Status.PRUNED
        return Status.INTERRUPTED if exit_code in INTERRUPTED_CODES else Status.FAILED

    def check_folder(self) -> None:
        """Checks that the folder is free or contains this job.

        Raises:
            ConfigError: The folder contains something else, or a run with another configuration.
        """
        run = RunFolder(self.folder)
        if run.config_file.is_file():
            earlier = read_yaml(run.config_file)
            if not isinstance(earlier, dict):
                raise DataError(f"{run.config_file} is not the configuration of a run")
            self._check_agreement(earlier, run.read_record() or {})
        elif not self.lock_file.exists():
            refuse_existing(self.folder)

    def _check_agreement(self, earlier: dict[str, Any], record: dict[str, Any]) -> None:
        fixed = record.get("budget")
        if self.config.budget is not None and isinstance(fixed, dict):
            # The run replaced its budget by the number of steps.
            earlier = {**earlier, "budget": fixed.get("budget"), "max_steps": None}
        begun = _as_begun(self.config, earlier, record)
        earlier_values, values = flat(earlier), flat(begun.model_dump(mode="json", by_alias=True))
        # Report top-level keys first, because nested keys may interpolate them.
        keys = sorted(earlier_values.keys() | values.keys(), key=lambda key: (key.count("."), key))
        for key in keys:
            before, now = earlier_values.get(key), values.get(key)
            if self._is_derived(key, now):
                continue
            if before != now and effect_of(key) is not Effect.MANNER:
                raise ConfigError(
                    f"{self.folder} was run with {key}={as_yaml(before)}, but the sweep has "
                    f"{as_yaml(now)}; use another name=… for the sweep, or remove that folder"
                )

    def _is_derived(self, key: str, value: Any) -> bool:
        """Whether a key of the encoder is resolved in the run, from its tokenizer or weights."""
        group, _, name = key.partition(".")
        if group != "encoder" or name == "pretrained":
            return False
        is_given = name in WITH_WEIGHTS or (name == "_target_" and value != OWN_ENCODER)
        return value is None or (self.config.encoder.pretrained is not None and not is_given)


def _as_begun(
    config: TrainConfig, earlier: Mapping[str, Any], record: Mapping[str, Any]
) -> TrainConfig:
    """Sets what follows from the run that a run began from, as the run itself did.

    Args:
        config: The configuration that is asked for.
        earlier: The configuration of the run.
        record: The record of the run.
    """
    parent = record.get("parent")
    if not isinstance(parent, dict) or not isinstance(step := parent.get("step"), int):
        return config
    changes: dict[str, Any] = {"from_step": step if config.from_step is None else config.from_step}
    if (begun := decay_from_of(parent)) is not None:
        changes |= {"schedule": _restarted(config.schedule, begun, config.max_steps, earlier)}
    return config.model_copy(update=changes)


def _restarted(
    schedule: ScheduleConfig, step: int, max_steps: int | None, earlier: Mapping[str, Any]
) -> ScheduleConfig:
    """Returns the schedule that a run made of one when it restarted it at a step."""
    if max_steps is not None and max_steps > step:
        with suppress(ValueError):  # a decay of too many steps, which differs then
            return restarted(schedule, step, max_steps)
    known = earlier.get("schedule")
    if max_steps is not None or not isinstance(known, dict):
        return schedule
    # The number of steps of other lengths follows from the data, which is not read here.
    keys = ("warmup_steps", "decay_steps", "decay_ratio")
    return schedule.model_copy(update={key: known.get(key) for key in keys})
