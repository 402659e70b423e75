"""The guard against divergence: which steps it lets pass."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from clozekit.data.order import Position
from clozekit.data.step import StepBatch, StepTotals
from clozekit.tasks.divergence import MOST_SKIPPED, DivergenceError, DivergenceGuard

STEP: StepBatch[Any] = StepBatch(7, StepTotals(1, 1, 1), Position(), ())


def judge(guard: DivergenceGuard, grad_norm: float, precision: str = "16-mixed") -> None:
    module: Any = SimpleNamespace(trainer=SimpleNamespace(precision=precision))
    optimizer: Any = None
    guard.judge(module, optimizer, STEP, [torch.ones(())], {"loss": 1.0, "grad_norm": grad_norm})


def test_a_scaler_may_skip_some_steps_but_not_all_of_them() -> None:
    guard = DivergenceGuard()
    for _ in range(MOST_SKIPPED - 1):
        judge(guard, float("inf"))
    judge(guard, 1.0)
    for _ in range(MOST_SKIPPED - 1):
        judge(guard, float("nan"))
    with pytest.raises(DivergenceError, match=f"{MOST_SKIPPED} times in a row.* at step 7"):
        judge(guard, float("nan"))


def test_without_a_scaler_no_step_is_skipped() -> None:
    with pytest.raises(DivergenceError, match="the gradient norm is inf at step 7"):
        judge(DivergenceGuard(), float("inf"), "bf16-mixed")
