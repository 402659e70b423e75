"""Studies with a pruner: jobs replay recorded curves, and wait for an answer to each value."""

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial, TrialState

from clozekit.exit_codes import PRUNED
from clozekit.runs.pruning_files import Report, read_answer, read_report, write_report
from clozekit.sweeps.job import Job, Status
from clozekit.sweeps.naming import job_name
from clozekit.sweeps.pruner import TrialPruner
from clozekit.sweeps.study import Study
from tests.sweeps.fakes import FIXED, METRIC, RECORD, FakeExecutor, FakeJob, Sweeps, write_results

CURVES: dict[str, list[float]] = json.loads(
    Path(__file__).with_name("recorded_curves.json").read_text()
)
"""The validation losses of real runs by their learning rate, every 30 of 270 steps."""

KEY = "optimizer.lr"
INTERVAL, LAST = 30, 270
N_TRIALS = 14

PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "halving": lambda: SuccessiveHalvingPruner(min_resource=INTERVAL, reduction_factor=3),
    "hyperband": lambda: HyperbandPruner(INTERVAL, LAST, reduction_factor=3),
    "median": lambda: MedianPruner(n_startup_trials=2),
}


CHOICES = CategoricalDistribution(list(CURVES))
RANGE = FloatDistribution(1e-5, 2e-2, log=True)


def curve_of(rate: str | float) -> list[float]:
    """Returns the recorded curve of the closest rate."""
    return CURVES[min(CURVES, key=lambda known: abs(math.log(float(known) / float(rate))))]


class Interruption(BaseException):
    """A signal, or a kill."""


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


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here has to survive a power failure."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


SHARES = {"halving": 1 / 3, "hyperband": 0.6, "median": 0.6}


@pytest.mark.parametrize("name", PRUNERS)
def test_a_pruned_study_finds_the_best_of_the_full_one_in_a_part_of_the_steps(
    name: str, tmp_path: Path
) -> None:
    lab = Lab(tmp_path / "study", PRUNERS[name])
    lab.start(space=CHOICES)
    trials = lab.trials
    counted = [trial for trial in trials if trial.state != TrialState.FAIL]
    assert len(counted) == N_TRIALS
    complete = [trial.value for trial in counted if trial.state == TrialState.COMPLETE]
    assert min(complete) == min(curve_of(trial.params[KEY])[-1] for trial in counted)
    steps = sum(map(lab.steps, counted))
    assert steps / (N_TRIALS * LAST) <= SHARES[name]
    for trial in counted:
        curve = curve_of(trial.params[KEY])
        assert trial.intermediate_values == {
            step: curve[step // INTERVAL - 1]
            for step in range(INTERVAL, lab.steps(trial) + 1, INTERVAL)
        }
        assert (lab.steps(trial) == LAST) == (trial.state == TrialState.COMPLETE)


@pytest.mark.parametrize("name", PRUNERS)
def test_a_study_that_is_stopped_and_continued_equals_one_that_is_not(
    name: str, tmp_path: Path
) -> None:
    """Stopped again and again after a report, before it is answered."""
    whole, stopped = (Lab(tmp_path / each, PRUNERS[name]) for each in ("whole", "stopped"))
    whole.start()
    reports = 0

    def stop(step: int) -> None:
        nonlocal reports
        reports += 1
        if reports % 4 == 0:
            raise Interruption

    stops = repeat_until_done(stopped, on_report=stop)
    assert stops > 5
    assert stopped.outcome() == whole.outcome()


def repeat_until_done(lab: Lab, **behaviour: Any) -> int:
    """Starts a study until it is not interrupted any more; gives the number of interruptions."""
    for interruptions in range(200):
        try:
            lab.start(**behaviour)
        except Interruption:
            continue
        return interruptions
    raise AssertionError("it does not end")


@pytest.mark.parametrize("is_before", [True, False])
def test_a_kill_in_the_middle_of_a_decision_changes_nothing(
    is_before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before, or after, each of the three writes of which a decision to prune consists."""
    whole, killed = (Lab(tmp_path / each, PRUNERS["halving"], 6) for each in ("whole", "killed"))
    whole.start()
    done: Counter[str] = Counter()
    is_deciding = False

    def dying(name: str) -> Callable[..., Any]:
        original = getattr(killed.storage, name)

        def write(*arguments: Any, **more: Any) -> Any:
            done[name] += is_deciding
            is_kill = is_deciding and done[name] % 3 == 1
            if is_kill and is_before:
                raise Interruption
            result = original(*arguments, **more)
            if is_kill:
                raise Interruption
            return result

        return write

    original_answer = Study.answer

    def answer(study: Study, job: Job) -> None:
        nonlocal is_deciding
        is_deciding = True
        try:
            original_answer(study, job)
        finally:
            is_deciding = False

    monkeypatch.setattr(Study, "answer", answer)
    for name in (
        *("set_trial_intermediate_value", "set_trial_user_attr", "set_trial_state_values"),
    ):
        monkeypatch.setattr(killed.storage, name, dying(name))
    assert repeat_until_done(killed) > 5, done
    assert len(done) == 3 and min(done.values()) >= 2, done
    assert killed.outcome() == whole.outcome()


def test_a_failed_job_keeps_its_values_and_a_pruned_one_is_not_run_again(tmp_path: Path) -> None:
    class JobFailedError(Exception):
        """Of a job."""

    lab = Lab(tmp_path / "study", PRUNERS["halving"])
    original, failures = lab.finish, 0

    def finish(study: Study, job: RecordedJob, on_report: Callable[[int], None]) -> None:
        def fail(step: int) -> None:
            nonlocal failures
            if step == 3 * INTERVAL and not failures:
                failures += 1
                raise JobFailedError

        try:
            original(study, job, fail)
        except JobFailedError:
            given: Any = job
            study.ended(given, Status.FAILED)

    lab.finish = finish  # type: ignore[method-assign]
    lab.start()
    (failed,) = (t for t in lab.trials if t.state == TrialState.FAIL and t.intermediate_values)
    seen: list[int] = []
    lab.start(on_report=seen.append)
    (again,) = (t for t in lab.trials if t.params == failed.params and t.state != TrialState.FAIL)
    assert again.intermediate_values.items() >= failed.intermediate_values.items()
    lab.finish = original  # type: ignore[method-assign]
    lab.start(on_report=seen.append)
    assert seen == [], "nothing is left to run"


PRUNER = (
    "hydra.sweeper.pruner._target_=optuna.pruners.SuccessiveHalvingPruner",
    f"+hydra.sweeper.pruner.min_resource={INTERVAL}",
    "+hydra.sweeper.pruner.reduction_factor=3",
)
OPTUNA = (
    *(o for o in FIXED if not o.startswith("max_steps")),
    *("hydra/sweeper=clozekit_optuna", f"max_steps={LAST}", f"validate_every_n_steps={INTERVAL}"),
)
SPACE = "optimizer.lr=choice(1e-3,1e-4,1e-5)"


class AskingJob(FakeJob):
    """A job that reports one validation, and is answered."""

    def poll(self) -> int | None:
        answer = read_answer(self.job.folder)
        if answer is None:
            metrics = {METRIC: -self.job.config.optimizer.lr}
            report = Report(step=INTERVAL, max_steps=LAST, metrics=metrics)
            write_report(self.job.folder, report)
            return None
        if answer.prune:
            return PRUNED
        write_results(self.job, self.loss)
        return 0


class AskingExecutor(FakeExecutor):
    """Starts such jobs, if the sweep answers."""

    def start(self, job: Job, slot: int, say: Callable[[str], None]) -> Any:
        fake = super().start(job, slot, say)
        (job.folder / "run.json").write_text(json.dumps(RECORD))
        assert self.is_pruned
        return AskingJob(job, fake.exit_code, fake.loss, fake.looks)


def test_a_sweep_prunes_its_jobs_and_says_so(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    sweeps.executor_class = AskingExecutor
    asked = (*OPTUNA, SPACE, *PRUNER, "hydra.sweeper.n_trials=3", "hydra.sweeper.sampler.seed=1")
    assert sweeps.run(*asked) == 0
    statuses = sweeps.statuses()
    pruned = [name for name, status in statuses.items() if status == "pruned"]
    assert pruned and "finished" in statuses.values()
    printed = capsys.readouterr().out
    listed = f"{len(pruned)} pruned ({', '.join(pruned)})"
    assert listed in printed and "run the same command again" not in printed
    assert f"\npruned ({len(pruned)}): {', '.join(pruned)}\n" in printed
    assert f"{pruned[0]}: pruned after" in printed
    assert sweeps.run(*asked) == 0
    assert sweeps.started == [] and sweeps.statuses() == statuses
    printed = capsys.readouterr().out
    assert f"{pruned[0]}: already pruned" in printed and listed in printed


MISTAKES = {
    "an argument": (
        ["hydra.sweeper.pruner._target_=optuna.pruners.MedianPruner", "+hydra.sweeper.pruner.x=1"],
        "hydra.sweeper.pruner (optuna.pruners.MedianPruner): got an unexpected keyword",
    ),
    "a value": (
        [*PRUNER, "hydra.sweeper.pruner.reduction_factor=1"],
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
        [*PRUNER, "validate_every_n_steps=null"],
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
