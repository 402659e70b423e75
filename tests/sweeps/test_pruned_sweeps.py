"""Sweeps with a pruner: their jobs report, are answered, and are told about."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from clozekit.exit_codes import PRUNED
from clozekit.runs.pruning_files import Report, read_answer, write_report
from clozekit.sweeps.job import Job
from tests.sweeps.fakes import FIXED, METRIC, RECORD, FakeExecutor, FakeJob, Sweeps, write_results
from tests.sweeps.recorded_studies import INTERVAL, LAST

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
