"""Sweeps in this process: Hydra, the launcher and the record are the real ones, jobs are not."""

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.plugins import Plugins

from clozekit.command import run_verb
from clozekit.sweeps.job import Job
from clozekit.sweeps.processes import LocalExecutor

FIXED = ("name=mine", "data.path=corpus", "max_steps=10", "logger.wandb=null")
METRIC = "validation/loss"
RECORD = {"id": "fake", "resumed": [], "monitor": METRIC, "monitor_mode": "min"}


@dataclass
class FakeJob:
    """A job that ends after some looks at it."""

    job: Job
    exit_code: int
    loss: float
    looks: int
    signals: list[signal.Signals] = field(default_factory=list)
    has_ended: bool = False

    def poll(self) -> int | None:
        self.looks -= 1
        if not self.signals and self.looks > 0:
            return None
        self.has_ended = True
        if self.signals:
            return 75
        if self.exit_code == 0 and not self.job.config.trainer.fast_dev_run:
            write_results(self.job, self.loss)
        return self.exit_code

    def stop(self, number: signal.Signals) -> None:
        self.signals.append(number)

    def kill(self) -> None:
        self.signals.append(signal.SIGKILL)


def plugin(name: str) -> Any:
    """The class that Hydra has: it runs the modules of plugins once more when it finds them."""
    return Plugins.instance().class_name_to_class[f"hydra_plugins.{name}"]


def write_results(job: Job, loss: float) -> None:
    """Leaves in a job's folder what a run does."""
    values = job.config.model_dump(mode="json", by_alias=True)
    (job.folder / "config.yaml").write_text(yaml.safe_dump(values))
    (job.folder / "run.json").write_text(json.dumps(RECORD))
    (job.folder / "results.json").write_text(json.dumps({"step": 1, METRIC: loss}))


class FakeExecutor(LocalExecutor):
    """Keeps what was started.

    Attributes:
        started: The names of the jobs, in the order of their starts.
        most: How many ran at a time.
    """

    def __init__(
        self,
        n_jobs: int,
        exit_code: Callable[[Job], int] = lambda job: 0,
        loss: Callable[[Job], float] = lambda job: job.config.optimizer.lr,
        looks: int = 2,
        on_start: Callable[[Job], None] = lambda job: None,
    ) -> None:
        super().__init__("sweep", n_jobs)
        self.exit_code, self.loss, self.looks, self.on_start = exit_code, loss, looks, on_start
        self.started: list[str] = []
        self.jobs: list[FakeJob] = []
        self.slots: list[int] = []
        self.most = 0

    def start(self, job: Job, slot: int, say: Callable[[str], None]) -> Any:
        self.started.append(job.name)
        self.slots.append(slot)
        job.folder.mkdir(parents=True, exist_ok=True)
        job.lock_file.touch()
        job.log_file.write_text("it was run\nand said this\n")
        fake = FakeJob(job, self.exit_code(job), self.loss(job), self.looks)
        self.jobs.append(fake)
        self.most = max(self.most, sum(not job.has_ended for job in self.jobs))
        self.on_start(job)
        return fake


@dataclass
class Sweeps:
    """Runs `clozekit train -m` in a folder of its own."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    executor: FakeExecutor = field(default_factory=lambda: FakeExecutor(1))
    executor_class: type[FakeExecutor] = FakeExecutor

    def run(self, *overrides: str, **behaviour: Any) -> int:
        def make(launcher: Any, sweep: str, folder: Path) -> FakeExecutor:
            self.executor = self.executor_class(launcher.n_jobs, **behaviour)
            return self.executor

        self.executor = FakeExecutor(1)
        self.monkeypatch.setattr(
            plugin("clozekit_launcher.ProcessesLauncher"), "make_executor", make
        )
        self.monkeypatch.setattr(sys, "argv", ["clozekit", "train", "-m", *overrides])
        return run_verb("train")

    @property
    def started(self) -> list[str]:
        return self.executor.started

    def files(self) -> dict[str, bytes]:
        return {
            str(path): path.read_bytes()
            for path in (self.folder / "runs").rglob("*")
            if path.is_file()
        }

    def record(self, name: str = "mine") -> dict[str, Any]:
        record: dict[str, Any] = json.loads(
            (self.folder / "runs" / name / "sweep.json").read_text()
        )
        return record

    def statuses(self, name: str = "mine") -> dict[str, str]:
        return {job["name"]: job["status"] for job in self.record(name)["jobs"]}
