"""A job of a sweep: a single run, what it is started with, and what its folder says of it."""

import json
import signal
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from clozekit.config.train import TrainConfig
from clozekit.config.values import as_yaml, flat
from clozekit.errors import ConfigError
from clozekit.exit_codes import INTERRUPTED, PREEMPTED
from clozekit.runs.folder import RunFolder, refuse_existing

MAY_DIFFER = (
    "resume",
    "logger",
    "micro_batch_size",
    "data.micro_batch_size",
    "data.num_workers",
    "data.prefetch_factor",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.log_every_n_steps",
)
"""Keys that say how a job is run, and do not change what comes out."""

INTERRUPTED_CODES = (PREEMPTED, INTERRUPTED, -signal.SIGINT, -signal.SIGTERM)
"""What a run exits with after SIGTERM or SIGINT; negative where it could not catch them yet."""


class Status(StrEnum):
    """What became of a job."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Job:
    """A single run of a sweep.

    Attributes:
        name: The job's name in the sweep, from its overrides.
        overrides: The overrides that are its own.
        arguments: What follows `clozekit` on its command line.
        config: Its whole configuration.
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
        """What the job has printed, of all its starts."""
        return self.folder / "job.log"

    @property
    def lock_file(self) -> Path:
        """Is locked as long as the job's process lives."""
        return self.folder / ".lock"

    def devices(self) -> int | None:
        """How many processes the job has on a machine; None where only the hardware tells."""
        devices = (self.config.trainer.model_extra or {}).get("devices", "auto")
        if isinstance(devices, list):
            return len(devices)
        if isinstance(devices, int | str) and str(devices).isdecimal():
            return int(devices)
        return None

    def num_nodes(self) -> int:
        """How many machines the job needs."""
        return int((self.config.trainer.model_extra or {}).get("num_nodes", 1))

    def uses_gpus(self) -> bool:
        """Whether the job takes GPUs where there are some."""
        return self.needs_gpus() or self._accelerator() == "auto"

    def needs_gpus(self) -> bool:
        """Whether the job cannot do without GPUs."""
        return self._accelerator() in ("gpu", "cuda")

    def _accelerator(self) -> str:
        return str((self.config.trainer.model_extra or {}).get("accelerator", "auto"))

    def results(self) -> dict[str, float] | None:
        """Reads the metrics at the job's end; None before it."""
        file = RunFolder(self.folder).results_file
        if not file.is_file():
            return None
        results: dict[str, float] = json.loads(file.read_text(encoding="utf-8"))
        return results

    def monitored(self) -> tuple[str, float] | None:
        """Reads the metric that the job is judged by; None before its end."""
        record_file, results = RunFolder(self.folder).record_file, self.results()
        if results is None or not record_file.is_file():
            return None
        name = json.loads(record_file.read_text(encoding="utf-8")).get("monitor")
        return (name, results[name]) if name in results else None

    def status_after(self, exit_code: int) -> Status:
        """Tells what became of the job, whose process has ended."""
        if exit_code == 0 and self.results() is not None:
            return Status.FINISHED
        return Status.INTERRUPTED if exit_code in INTERRUPTED_CODES else Status.FAILED

    def check_folder(self) -> None:
        """Checks that the folder is free, or holds this very job.

        Raises:
            ConfigError: It holds something else, or a run of another configuration.
        """
        run = RunFolder(self.folder)
        if run.config_file.is_file():
            self._check_agreement(yaml.safe_load(run.config_file.read_text(encoding="utf-8")))
        elif not self.lock_file.exists():
            refuse_existing(self.folder)

    def _check_agreement(self, earlier: dict[str, Any]) -> None:
        earlier_values = flat(earlier)
        values = flat(self.config.model_dump(mode="json", by_alias=True))
        # The run's own keys come before those that repeat them.
        keys = sorted(earlier_values.keys() | values.keys(), key=lambda key: (key.count("."), key))
        for key in keys:
            before, now = earlier_values.get(key), values.get(key)
            if before != now and not any(key == k or key.startswith(f"{k}.") for k in MAY_DIFFER):
                raise ConfigError(
                    f"{self.folder} was run with {key}={as_yaml(before)}, the sweep has "
                    f"{as_yaml(now)}: give the sweep another name=…, or remove that folder"
                )
