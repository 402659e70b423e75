"""The rows of the history: global sums by global denominators, once a step that is due."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from clozekit.data.batch import Step
from clozekit.data.order import Position
from clozekit.tasks.pretraining import PretrainingModule
from clozekit.training.history import StepHistory
from tests.tasks.models import small_encoder, training_arguments


class Rows:
    """A logger that keeps what it is given."""

    def __init__(self) -> None:
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append((step, metrics))


class TwoProcesses:
    """A strategy under which another process has the same sums."""

    def reduce(self, tensor: Tensor, reduce_op: str) -> Tensor:
        assert reduce_op == "sum"
        return 2 * tensor


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Any:
    return SimpleNamespace(
        accumulate_grad_batches=2,
        world_size=2,
        loggers=[Rows()],
        callbacks=[],
        strategy=TwoProcesses(),
    )


@pytest.fixture
def module(trainer: Any) -> PretrainingModule:
    module = PretrainingModule(small_encoder(50), **training_arguments(log_every_n_steps=2))
    module.__dict__["_trainer"] = trainer
    return module


def batch_of(step: int, micro_step: int) -> Any:
    """A micro-batch of a global step of 8 pairs and 20 masked tokens."""
    position = Position(step + 1, epoch=step // 2)
    return SimpleNamespace(
        step=Step(
            step,
            micro_step,
            num_sequences=8,
            num_tokens=100,
            num_targets=20,
            next_position=position,
            num_micro_steps=2,
        )
    )


def run(history: StepHistory, trainer: Any, module: PretrainingModule, steps: int) -> None:
    history.on_train_start(trainer, module)
    for step in range(steps):
        take_step(history, trainer, module, step)


def take_step(history: StepHistory, trainer: Any, module: PretrainingModule, step: int) -> None:
    for micro_step in range(2):
        batch = batch_of(step, micro_step)
        if module.is_logged(batch.step):
            module.add_to_step(
                mlm_loss=torch.tensor(10.0),
                mlm_accuracy=torch.tensor(2),
                nsp_loss=torch.tensor(1.0),
                nsp_accuracy=torch.tensor(1),
                random_pairs=torch.tensor(2),
            )
        history.on_train_batch_end(trainer, module, None, batch, 2 * step + micro_step)


def test_only_the_steps_that_are_due_have_a_row(trainer: Any, module: PretrainingModule) -> None:
    run(StepHistory(), trainer, module, steps=5)
    assert [step for step, _ in trainer.loggers[0].rows] == [2, 4]


def test_a_row_holds_the_means_over_the_global_batch(
    trainer: Any, module: PretrainingModule
) -> None:
    module.step_state = {"grad_norm": torch.tensor(0.5), "learning_rate": 0.001}
    history = StepHistory()
    run(history, trainer, module, steps=2)
    ((_, row),) = trainer.loggers[0].rows
    assert history.latest == row
    speed = row.pop("train/tokens_per_second")
    assert speed > 0
    # Two micro-batches on two processes: four times each sum.
    expected = {
        "train/mlm_loss": 40 / 20,
        "train/mlm_accuracy": 8 / 20,
        "train/nsp_loss": 4 / 8,
        "train/nsp_accuracy": 4 / 8,
        "train/random_pairs": 8 / 8,
        "train/loss": 40 / 20 + 4 / 8,
        "train/perplexity": 7.389056,
        "train/grad_norm": 0.5,
        "train/learning_rate": 0.001,
        "train/epoch": 0,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected)


def test_a_steps_sums_are_cleared_when_they_are_taken(
    trainer: Any, module: PretrainingModule
) -> None:
    run(StepHistory(), trainer, module, steps=4)
    (_, first), (_, second) = trainer.loggers[0].rows
    assert first["train/mlm_loss"] == second["train/mlm_loss"]
    assert second["train/epoch"] == 1
    assert module.take_step_sums() == {}


def test_the_speed_leaves_validation_out(
    trainer: Any, module: PretrainingModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    history = StepHistory()
    history.on_train_start(trainer, module)
    now[0] = 3.0
    history.on_validation_start(trainer, module)
    now[0] = 50.0
    history.on_validation_end(trainer, module)
    now[0] = 51.0
    for step in range(2):
        take_step(history, trainer, module, step)
    ((_, row),) = trainer.loggers[0].rows
    assert row["train/tokens_per_second"] == pytest.approx(200 / 4)
