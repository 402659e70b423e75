"""Studies of jobs that replay recorded curves, and wait for an answer to each value."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from clozekit.runs.pruning_files import Report, read_answer, read_report, write_report
from clozekit.sweeps.job import Status
from clozekit.sweeps.naming import job_name
from clozekit.sweeps.pruner import TrialPruner
from clozekit.sweeps.study import Study
from tests.sweeps.fakes import METRIC

CURVES: dict[str, list[float]] = json.loads(
    Path(__file__).with_name("recorded_curves.json").read_text()
)
"""The validation losses of real runs by their learning rate, every 30 of 270 steps."""

KEY = "optimizer.lr"

INTERVAL, LAST = 30, 270

N_TRIALS = 14

CHOICES = CategoricalDistribution(list(CURVES))

RANGE = FloatDistribution(1e-5, 2e-2, log=True)


def curve_of(rate: str | float) -> list[float]:
    """Returns the recorded curve of the closest rate."""
    return CURVES[min(CURVES, key=lambda known: abs(math.log(float(known) / float(rate))))]


def nothing(step: int) -> None:
    """Is done at a report."""


@dataclass(frozen=True)
class RecordedJob:
    """A job that is at some step of its curve, as a file in its folder says."""

    name: str
    overrides: tuple[str, ...]
    folder: Path

    @property
    def curve(self) -> list[float]:
        return curve_of(self.overrides[0].removeprefix(f"{KEY}="))

    def monitor(self) -> str:
        return METRIC

    def results(self) -> dict[str, float] | None:
        return {METRIC: self.curve[-1]} if (self.folder / "results").exists() else None

    def run(self, answer: Callable[[], None], on_report: Callable[[int], None]) -> Status:
        """Replays the curve, from the step of an earlier start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoint = self.folder / "checkpoint"
        step = int(checkpoint.read_text()) if checkpoint.exists() else 0
        is_pending = read_report(self.folder) is not None
        while True:
            if not is_pending:
                step += INTERVAL
                checkpoint.write_text(str(step))
                metrics = {METRIC: self.curve[step // INTERVAL - 1]}
                report = Report(step=step, max_steps=LAST, metrics=metrics)
                write_report(self.folder, report)
            is_pending = False
            on_report(step)
            answer()
            answered = read_answer(self.folder)
            assert answered is not None and answered.step == step
            if answered.prune:
                return Status.PRUNED
            if step == LAST:
                (self.folder / "results").touch()
                return Status.FINISHED


class Lab:
    """Studies in folders, which can be interrupted and continued."""

    def __init__(
        self, folder: Path, pruner: Callable[[], BasePruner], n_trials: int = N_TRIALS
    ) -> None:
        self.folder, self.pruner, self.n_trials = folder, pruner, n_trials
        # It survives an interruption as a file does.
        self.storage = optuna.storages.InMemoryStorage()
        folder.mkdir()

    def start(
        self,
        on_report: Callable[[int], None] = nothing,
        space: CategoricalDistribution | FloatDistribution = RANGE,
    ) -> None:
        """Runs the jobs of the study, as the launcher does with one job at a time."""
        stored = optuna.create_study(study_name="mine", storage=self.storage, load_if_exists=True)
        # Choices would be sampled twice by TPE, which adds no trial.
        is_random = space is CHOICES
        kind = optuna.samplers.RandomSampler if is_random else optuna.samplers.TPESampler
        study = Study(
            stored,
            {KEY: space},
            self.n_trials,
            None,
            self.make_job,
            lambda number: kind(seed=3 + number),
            TrialPruner(stored, self.pruner),
        )
        while (job := study.take()) is not None:
            assert isinstance(job, RecordedJob)
            self.finish(study, job, on_report)

    def finish(self, study: Study, job: RecordedJob, on_report: Callable[[int], None]) -> None:
        given: Any = job
        if job.results() is not None:
            study.ended(given, Status.FINISHED)
        elif study.is_pruned(given):
            study.ended(given, Status.PRUNED)
        else:
            study.ended(given, job.run(lambda: study.answer(given), on_report))

    def make_job(self, overrides: Sequence[str]) -> Any:
        name = job_name(overrides)
        return RecordedJob(name, tuple(overrides), self.folder / name)

    @property
    def trials(self) -> list[FrozenTrial]:
        return optuna.load_study(study_name="mine", storage=self.storage).get_trials()

    def outcome(self) -> list[tuple[object, ...]]:
        """What the study has found, and how far each run got."""
        return [
            (t.params, t.state, t.value, t.intermediate_values, self.steps(t))
            for t in self.trials
            if t.state != TrialState.FAIL
        ]

    def steps(self, trial: FrozenTrial) -> int:
        return int(
            (self.folder / job_name([f"{KEY}={trial.params[KEY]}"]) / "checkpoint").read_text()
        )
