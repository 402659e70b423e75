"""Benchmarks in this process: all is real but the processes of the jobs."""

import json
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from clozekit.command import run_verb
from clozekit.sweeps.job import Job
from clozekit.sweeps.processes import LocalExecutor
from clozekit.train import train

Scores = Callable[[Job], Mapping[str, float] | None]
"""Gives the metrics of a job; None if it fails."""


class EndedJob:
    """A job that has ended when it is looked at."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self.signals: list[signal.Signals] = []

    def poll(self) -> int | None:
        return self.exit_code

    def stop(self, number: signal.Signals) -> None:
        self.signals.append(number)

    def kill(self) -> None:
        self.signals.append(signal.SIGKILL)


class InProcessExecutor(LocalExecutor):
    """Trains jobs in this process, or writes the metrics that a test gives.

    Attributes:
        started: The jobs, in the order of their starts.
    """

    def __init__(self, scores: Scores | None, interrupted: str | None = None) -> None:
        super().__init__("benchmark", 1)
        self.scores = scores
        self.interrupted = interrupted
        self.started: list[Job] = []

    def start(self, job: Job, slot: int, say: Callable[[str], None]) -> Any:
        self.started.append(job)
        job.folder.mkdir(parents=True, exist_ok=True)
        job.lock_file.touch()
        job.log_file.write_text("it was run\nand said this\n")
        if job.name == self.interrupted:
            return EndedJob(75)
        if self.scores is None:
            train(job.config)
            return EndedJob(0)
        metrics = self.scores(job)
        if metrics is None:
            return EndedJob(3)
        values = job.config.model_dump(mode="json", by_alias=True)
        (job.folder / "config.yaml").write_text(yaml.safe_dump(values))
        record = {"id": "fake", "resumed": [], "monitor": next(iter(metrics))}
        (job.folder / "run.json").write_text(json.dumps({**record, "monitor_mode": "max"}))
        (job.folder / "results.json").write_text(json.dumps({"step": 1, **metrics}))
        (job.folder / "checkpoints").mkdir()
        (job.folder / "checkpoints" / "best.ckpt").touch()
        return EndedJob(0)


@dataclass
class Benchmarks:
    """Runs `clozekit benchmark` in a folder of its own."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    executor: InProcessExecutor = field(default_factory=lambda: InProcessExecutor(None))

    def run(
        self, *arguments: str, scores: Scores | None = None, interrupted: str | None = None
    ) -> int:
        def make(launcher: Any, sweep: str, folder: Path) -> InProcessExecutor:
            self.executor = InProcessExecutor(scores, interrupted)
            return self.executor

        self.executor = InProcessExecutor(scores)
        self.monkeypatch.setattr("clozekit.benchmark.make_executor", make)
        self.monkeypatch.setattr(sys, "argv", ["clozekit", "benchmark", *arguments])
        try:
            return run_verb("benchmark")
        except SystemExit as error:
            return int(str(error.code))

    @property
    def started(self) -> list[str]:
        return [job.name for job in self.executor.started]

    def results(self, name: str) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(
            (self.folder / "runs" / name / "results.json").read_text()
        )
        return read
