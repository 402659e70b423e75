"""The guard against divergence: which steps it lets pass."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from clozekit.data.order import Position
from clozekit.data.step import StepBatch, StepTotals
from clozekit.errors import DivergenceError
from clozekit.tasks.divergence import MOST_SKIPPED, DivergenceGuard
from tests.tasks.modules import module_of, tasks
from tests.tasks.training import DrawnRows, trainer_of

STEP: StepBatch[Any] = StepBatch(7, StepTotals(1, 1, 1), Position(), ())


def judge(guard: DivergenceGuard, grad_norm: float, precision: str = "16-mixed") -> None:
    module: Any = SimpleNamespace(trainer=SimpleNamespace(precision=precision))
    optimizer: Any = None
    guard.judge(module, optimizer, STEP, [torch.ones(())], loss=1.0, grad_norm=grad_norm)


def test_a_scaler_may_skip_some_steps_but_not_all_of_them() -> None:
    guard = DivergenceGuard()
    for _ in range(MOST_SKIPPED - 1):
        judge(guard, float("inf"))
    judge(guard, 1.0)
    for _ in range(MOST_SKIPPED - 1):
        judge(guard, float("nan"))
    with pytest.raises(DivergenceError, match=f"{MOST_SKIPPED} times in a row.* at step 8"):
        judge(guard, float("nan"))


def test_without_a_scaler_no_step_is_skipped() -> None:
    with pytest.raises(DivergenceError, match="the gradient norm is inf at step 8"):
        judge(DivergenceGuard(), float("inf"), "bf16-mixed")


class RecordingGuard(DivergenceGuard):
    """Keeps the loss that it judges."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def judge(self, *arguments: Any, loss: float, **more: Any) -> None:
        self.losses.append(loss)
        super().judge(*arguments, loss=loss, **more)


@tasks
def test_the_loss_of_logged_steps_is_judged_as_that_of_others(task: str, tmp_path: Path) -> None:
    judged = []
    for every in (1, 100):
        guard = RecordingGuard()
        module = module_of(task, guard=guard, log_every_n_steps=every)
        trainer_of(tmp_path, 2).fit(module, datamodule=DrawnRows(task, micro_batch_size=3))
        judged.append(guard.losses)
        if every == 1:
            assert module.logged["train/loss"] == pytest.approx(guard.losses[-1])
    assert len(judged[0]) == 2
    assert judged[0] == judged[1]
