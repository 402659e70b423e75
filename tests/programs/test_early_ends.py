"""Ends before the last step: early stopping, `max_time` and `min_steps`, resumed and branched."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch import Trainer

from clozekit.config.trainer import TrainerConfig
from clozekit.errors import ConfigError
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.sweeps.read_runs import Outcome, read_runs
from clozekit.train import train
from clozekit.training.checkpoints import Checkpoints
from clozekit.training.measuring import _quiet
from clozekit.training.validation import agree_on_time_of_validation
from tests.programs.commands import QUIET, TINY, run_clozekit, train_config

STOPPING = (
    *("callbacks=[checkpoints,progress,early_stopping]", "callbacks.early_stopping.patience=1"),
    *("callbacks.early_stopping.min_delta=100", "validate_every_n_steps=2"),
)
"""It stops after the second validation, which is no better by 100 nats."""


class Runs:
    def __init__(self, corpus: Path, folder: Path) -> None:
        self.fixed = (f"data.path={corpus}", f"runs_dir={folder}", *TINY, *QUIET)
        self.sizes = ("global_batch_size=4", "micro_batch_size=4", "trainer.limit_val_batches=1")
        self.folder = folder

    def __call__(self, name: str, *overrides: str) -> int:
        """Trains, and returns the step at which it ended."""
        train(train_config(f"name={name}", *self.fixed, *self.sizes, *overrides))
        return load_checkpoint(self.folder / name).step if overrides else 0

    def last(self, name: str) -> int:
        return load_checkpoint(self.folder / name / "checkpoints" / "last.ckpt").step


@pytest.fixture
def runs(corpus: Path, tmp_path: Path) -> Runs:
    return Runs(corpus, tmp_path)


def test_steps_after_a_stop_that_min_steps_delays_are_saved(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    save = Checkpoints.save_last

    def recorded(self: Checkpoints, trainer: Trainer, **more: Any) -> None:
        saved.append(trainer.global_step)
        save(self, trainer, **more)

    monkeypatch.setattr(Checkpoints, "save_last", recorded)
    every = "callbacks.checkpoints.every_n_steps=1"
    runs("patient", *STOPPING, "max_steps=20", "+trainer.min_steps=8", every)
    assert runs.last("patient") == 8
    assert saved[:8] == list(range(1, 9)), "steps 5 and 7 have no validation, but are due"


def test_a_run_that_begins_at_another_ones_end_has_its_own_patience(runs: Runs) -> None:
    runs("stopped", *STOPPING, "max_steps=20")
    assert runs.last("stopped") == 4
    parent = f"from_run={runs.folder / 'stopped'}"
    more = (*STOPPING, "callbacks.early_stopping.patience=3")
    runs("branched", parent, *more, "max_steps=20")
    assert runs.last("branched") == 4 + 2 * 4


def test_a_resumed_run_has_the_patience_of_its_command(runs: Runs) -> None:
    runs("run", *STOPPING, "max_steps=20")
    assert runs.last("run") == 4
    more = ("callbacks.early_stopping.patience=3", "resume=auto")
    runs("run", *STOPPING, *more, "max_steps=20")
    assert runs.last("run") == 8


def test_a_run_that_is_resumed_for_more_steps_has_no_results_until_its_end(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs("run", "max_steps=2")
    results = runs.folder / "run" / "results.json"
    first = results.read_bytes()
    runs("run", "max_steps=2", "resume=auto")
    assert results.read_bytes() == first

    def fails(*given: Any) -> None:
        (found,) = read_runs(runs.folder)
        assert not results.exists() and found.outcome == Outcome.RUNNING
        raise RuntimeError("the power is out")

    monkeypatch.setattr("clozekit.train._run", fails)
    with pytest.raises(RuntimeError, match="the power is out"):
        runs("run", "max_steps=4", "resume=auto")
    (found,) = read_runs(runs.folder)
    assert (found.outcome, found.metrics) == (Outcome.UNFINISHED, {})


def test_a_measurement_ends_before_min_steps() -> None:
    config = train_config("name=a", "data.path=b", "max_steps=9", "+trainer.min_steps=5")
    assert (config.trainer.model_extra or {})["min_steps"] == 5
    assert _quiet(config).trainer.arguments()["min_steps"] is None
    assert (
        "min_steps"
        not in TrainerConfig.model_validate({"_target_": "lightning.pytorch.Trainer"}).arguments()
    )


@pytest.mark.parametrize("of_first", [True, False])
def test_the_first_process_decides_when_time_is_up(of_first: bool) -> None:
    asked = []

    def broadcast(mine: bool) -> bool:
        asked.append(mine)
        return of_first

    loop = SimpleNamespace(_should_check_val_fx=lambda fetcher: not of_first)
    trainer: Any = SimpleNamespace(
        fit_loop=SimpleNamespace(epoch_loop=loop), strategy=SimpleNamespace(broadcast=broadcast)
    )
    agree_on_time_of_validation(trainer)
    assert loop._should_check_val_fx(None) is of_first
    assert asked == [not of_first]


def test_validations_at_a_time_interval_run_on_two_processes(corpus: Path, tmp_path: Path) -> None:
    given = (f"data.path={corpus}", *TINY, "global_batch_size=4", "micro_batch_size=2")
    time = ("trainer=ddp_cpu", "trainer.val_check_interval=00:00:00:01", "max_steps=40")
    finished = run_clozekit("train", "name=timed", *given, *time, "logger=csv", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr


def test_a_second_machine_without_a_process_is_told(corpus: Path, runs: Runs) -> None:
    message = r"trainer.num_nodes=2, but nothing has started a process on the other machines"
    with pytest.raises(ConfigError, match=message):
        runs("nodes", "max_steps=2", "trainer.num_nodes=2")
    assert not (runs.folder / "nodes").exists()
