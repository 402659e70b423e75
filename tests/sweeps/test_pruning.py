"""Studies with a pruner, whole and interrupted."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, SuccessiveHalvingPruner
from optuna.trial import TrialState

from clozekit.sweeps.job import Job, Status
from clozekit.sweeps.study import Study
from tests.sweeps.recorded_studies import (
    CHOICES,
    INTERVAL,
    KEY,
    LAST,
    N_TRIALS,
    Lab,
    RecordedJob,
    curve_of,
)

PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "halving": lambda: SuccessiveHalvingPruner(min_resource=INTERVAL, reduction_factor=3),
    "hyperband": lambda: HyperbandPruner(INTERVAL, LAST, reduction_factor=3),
    "median": lambda: MedianPruner(n_startup_trials=2),
}


class Interruption(BaseException):
    """A signal, or a kill."""


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
