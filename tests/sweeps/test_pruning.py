"""Studies with a pruner: jobs replay recorded curves, and wait for an answer to each value."""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from clozekit.exit_codes import PRUNED
from clozekit.runs.pruning_files import Report, read_answer, write_report
from clozekit.sweeps.job import Job
from tests.sweeps.fakes import FIXED, METRIC, FakeExecutor, FakeJob, Sweeps, write_results

CURVES: dict[str, list[float]] = json.loads(
    Path(__file__).with_name("recorded_curves.json").read_text()
)
"""The validation losses of real runs by their learning rate, every 30 of 270 steps."""

INTERVAL = 30
LAST = 270
OPTUNA = (
    *(o for o in FIXED if not o.startswith("max_steps")),
    *("hydra/sweeper=clozekit_optuna", f"max_steps={LAST}", f"validate_every_n_steps={INTERVAL}"),
)
SPACE = f"optimizer.lr=choice({','.join(CURVES)})"
PRUNERS = {
    "halving": (
        "hydra.sweeper.pruner._target_=optuna.pruners.SuccessiveHalvingPruner",
        f"+hydra.sweeper.pruner.min_resource={INTERVAL}",
        "+hydra.sweeper.pruner.reduction_factor=3",
    ),
    "hyperband": (
        "hydra.sweeper.pruner._target_=optuna.pruners.HyperbandPruner",
        f"+hydra.sweeper.pruner.min_resource={INTERVAL}",
        f"+hydra.sweeper.pruner.max_resource={LAST}",
        "+hydra.sweeper.pruner.reduction_factor=3",
    ),
    "median": (
        "hydra.sweeper.pruner._target_=optuna.pruners.MedianPruner",
        "+hydra.sweeper.pruner.n_startup_trials=2",
    ),
}


@dataclass
class ReplayedJob(FakeJob):
    """A job that is at some step of its curve; its folder has the step of its checkpoint."""

    executor: Any = None
    waits_for: int | None = None

    @property
    def checkpoint(self) -> Path:
        return self.job.folder / "checkpoint"

    def poll(self) -> int | None:
        if self.signals:
            return 75
        if self.exit_code:
            return self.exit_code
        step = int(self.checkpoint.read_text()) if self.checkpoint.exists() else 0
        if self.waits_for is not None:
            answer = read_answer(self.job.folder)
            if answer is None or answer.step != self.waits_for:
                return None
            self.waits_for = None
            if answer.prune:
                return PRUNED
            if step == LAST:
                write_results(self.job, self.curve[-1])
                return 0
        step += INTERVAL
        self.executor.steps[self.job.name] += INTERVAL
        value = self.curve[step // INTERVAL - 1]
        self.checkpoint.write_text(str(step))
        write_report(self.job.folder, Report(step=step, max_steps=LAST, metrics={METRIC: value}))
        self.waits_for = step
        self.executor.on_report(self.job, step)
        return None

    @property
    def curve(self) -> list[float]:
        (own,) = self.job.overrides
        return CURVES[own.removeprefix("optimizer.lr=")]


class ReplayingExecutor(FakeExecutor):
    """Keeps the steps of each job, and calls `on_report` at each report."""

    def __init__(
        self,
        n_jobs: int,
        on_report: Callable[[Job, int], None] = lambda job, step: None,
        **more: Any,
    ) -> None:
        super().__init__(n_jobs, **more)
        self.steps: Counter[str] = Counter()
        self.on_report = on_report

    def start(self, job: Job, slot: int, say: Callable[[str], None]) -> Any:
        fake = super().start(job, slot, say)
        folder = job.folder
        (folder / "run.json").write_text(json.dumps({"monitor": METRIC, "monitor_mode": "min"}))
        made = ReplayedJob(job, fake.exit_code, 0.0, 0, executor=self)
        # A resumed run asks again.
        if (folder / "pruning_report.json").exists():
            made.waits_for = json.loads((folder / "pruning_report.json").read_text())["step"]
        return made


class Study:
    """A study of which the jobs replay their curves."""

    def __init__(self, sweeps: Sweeps) -> None:
        self.sweeps = sweeps
        self.steps: Counter[str] = Counter()

    def run(self, *overrides: str, **behaviour: Any) -> int:
        """Runs the study, or goes on with it; gives the exit code."""
        try:
            code = self.sweeps.run(*OPTUNA, *overrides, **behaviour)
        except SystemExit as end:
            code = int(str(end.code))
        executor = self.sweeps.executor
        assert isinstance(executor, ReplayingExecutor)
        self.steps += executor.steps
        return code

    @property
    def trials(self) -> list[FrozenTrial]:
        storage = f"sqlite:///{self.sweeps.folder}/runs/mine/study.db"
        return optuna.load_study(study_name="mine", storage=storage).get_trials()

    def outcome(self) -> list[tuple[object, ...]]:
        """What a study has found, but for times."""
        return [(t.params, t.state, t.value, t.intermediate_values) for t in self.trials]


@pytest.fixture
def study(sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setattr("clozekit.sweeps.running.SECONDS_BETWEEN_LOOKS", 0.0)
    monkeypatch.setattr("clozekit.report.plot_all_curves", lambda summary, path: False)
    sweeps.executor_class = ReplayingExecutor
    return Study(sweeps)


def best(trials: list[FrozenTrial]) -> FrozenTrial:
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return min(complete, key=lambda trial: trial.value or 0.0)


SAMPLED = (SPACE, "hydra.sweeper.n_trials=18", "hydra.sweeper.sampler.seed=3")
RANDOM = (*SAMPLED, "hydra.sweeper.sampler._target_=optuna.samplers.RandomSampler")


@pytest.mark.parametrize("name", PRUNERS)
def test_a_pruned_study_finds_the_best_of_the_full_one_in_a_part_of_the_steps(
    name: str, study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study.run(*RANDOM, *PRUNERS[name]) == 0
    found = study.trials
    assert len(found) == 18
    of_all = min(CURVES[trial.params["optimizer.lr"]][-1] for trial in found)
    assert best(found).value == of_all
    share = sum(study.steps.values()) / (18 * LAST)
    assert share <= {"halving": 1 / 3, "hyperband": 0.6, "median": 0.6}[name]
    pruned = [trial for trial in found if trial.state == TrialState.PRUNED]
    for trial in pruned:
        curve = CURVES[trial.params["optimizer.lr"]]
        (steps,) = {study.steps[f"optimizer.lr-{trial.params['optimizer.lr']}"]}
        assert trial.intermediate_values == {
            step: curve[step // INTERVAL - 1] for step in range(INTERVAL, steps + 1, INTERVAL)
        }
        assert trial.last_step == steps < LAST
    statuses = list(study.sweeps.statuses().values())
    assert statuses.count("pruned") == len(pruned) == 18 - statuses.count("finished") > 0
    printed = capsys.readouterr().out
    assert f"\npruned ({len(pruned)}): " in printed
    assert f"{len(pruned)} pruned (" in printed


@pytest.mark.parametrize("name", ["halving", "hyperband"])
def test_a_study_that_is_stopped_and_continued_equals_one_that_is_not(
    name: str, study: Study, tmp_path: Path
) -> None:
    """Stopped after every fourth report, when the answer is not yet given."""
    asked = (*SAMPLED, *PRUNERS[name])
    assert study.run(*asked) == 0
    whole, steps = study.outcome(), study.steps
    (tmp_path / "runs").rename(tmp_path / "whole")
    study.steps = Counter()
    reports = 0

    def stop(job: Job, step: int) -> None:
        nonlocal reports
        reports += 1
        if reports % 4 == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    starts = 0
    while study.run(*asked, on_report=stop) != 0:
        starts += 1
        assert starts < 100
    assert starts > 3
    assert study.outcome() == whole
    assert study.steps == steps


def test_a_kill_in_the_middle_of_a_decision_changes_nothing(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after each of the writes to the storage that a decision consists of."""
    asked = (*SAMPLED, *PRUNERS["halving"])
    assert study.run(*asked) == 0
    whole = study.outcome()
    (tmp_path / "runs").rename(tmp_path / "whole")
    writes = 0

    class Killed(BaseException):
        """A kill."""

    def dying(original: Callable[..., Any], is_before: bool) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal writes
            writes += 1
            if writes % 7 == 0 and is_before:
                raise Killed
            result = original(*arguments, **more)
            if writes % 7 == 0:
                raise Killed
            return result

        return call

    names = ("set_trial_intermediate_value", "set_trial_user_attr", "set_trial_state_values")
    kills = 0
    for is_before in (True, False):
        with monkeypatch.context() as patches:
            for name in names:
                original = getattr(optuna.storages._CachedStorage, name)
                patches.setattr(optuna.storages._CachedStorage, name, dying(original, is_before))
            for _ in range(8):
                try:
                    study.run(*asked)
                except Killed:
                    kills += 1
    assert study.run(*asked) == 0
    assert kills > 4
    begun = [row for row in study.outcome() if row[1] in (TrialState.COMPLETE, TrialState.PRUNED)]
    assert begun == whole


def test_a_pruned_job_is_not_run_again_and_a_failed_one_keeps_its_values(study: Study) -> None:
    asked = (*RANDOM, *PRUNERS["halving"])
    failed: list[str] = []

    def fails(job: Job) -> int:
        failed.append(job.name)
        return 1 if len(failed) == 6 else 0

    assert study.run(*asked, exit_code=fails) == 1
    pruned = [name for name, status in study.sweeps.statuses().items() if status == "pruned"]
    assert study.run(*asked) == 0
    assert study.sweeps.started == [failed[5]]
    assert pruned and study.sweeps.executor.started.count(pruned[0]) == 0
    assert study.run(*asked) == 0
    assert study.sweeps.started == []


def test_without_a_pruner_jobs_do_not_ask(study: Study) -> None:
    environments: list[bool] = []
    study.sweeps.executor_class = FakeExecutor
    study.sweeps.run(
        *OPTUNA,
        *SAMPLED[:1],
        "hydra.sweeper.n_trials=1",
        on_start=lambda job: environments.append(study.sweeps.executor.is_pruned),
    )
    assert environments == [False]


def test_jobs_of_a_study_with_a_pruner_ask(study: Study) -> None:
    study.sweeps.executor_class = ReplayingExecutor
    assert study.run(*SAMPLED[:1], "hydra.sweeper.n_trials=1", *PRUNERS["median"]) == 0
    assert study.sweeps.executor.is_pruned


MISTAKES = {
    "an argument": (
        ["hydra.sweeper.pruner._target_=optuna.pruners.MedianPruner", "+hydra.sweeper.pruner.x=1"],
        "hydra.sweeper.pruner (optuna.pruners.MedianPruner): got an unexpected keyword",
    ),
    "a value": (
        [*PRUNERS["halving"], "hydra.sweeper.pruner.reduction_factor=1"],
        "hydra.sweeper.pruner (optuna.pruners.SuccessiveHalvingPruner): ",
    ),
    "a class": (
        ["hydra.sweeper.pruner._target_=builtins.dict"],
        "hydra.sweeper.pruner._target_=builtins.dict is not a optuna.pruners",
    ),
    "a class that is not there": (
        ["hydra.sweeper.pruner._target_=optuna.pruners.Nope"],
        "hydra.sweeper.pruner: Error locating target 'optuna.pruners.Nope'",
    ),
    "no validations": (
        [*PRUNERS["median"], "validate_every_n_steps=null"],
        "compares validations during training; set validate_every_n_steps",
    ),
    "a sampler's argument": (
        ["+hydra.sweeper.sampler.x=1"],
        "hydra.sweeper.sampler (optuna.samplers.TPESampler): got an unexpected keyword",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_before_anything_is_written(
    mistake: str, sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides, message = MISTAKES[mistake]
    assert sweeps.run(*OPTUNA, SPACE, *overrides) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and message in told
    assert not (sweeps.folder / "runs").exists()
