"""Training in every precision: the losses are those of float32 but for rounding."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from clozekit.optim.clipping import GradientClipping
from tests.data.labelled.labelled_rows import TASKS
from tests.tasks.modules import module_of
from tests.tasks.training import DrawnRows, trainer_of

STEPS = 4


class Losses(Callback):
    """Keeps the loss of every step."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *arguments: Any, **options: Any
    ) -> None:
        self.found.append(float(trainer.callback_metrics["train/loss"]))


def losses_of(task: str, folder: Path, **options: Any) -> tuple[list[float], set[torch.dtype]]:
    """The losses of training, the one of validation, and the dtypes of the weights."""
    module = module_of(task, log_every_n_steps=1, clipping=GradientClipping(1.0))
    losses = Losses()
    trainer = trainer_of(folder, STEPS, callbacks=[losses], validate_every=STEPS, **options)
    trainer.fit(module, datamodule=DrawnRows(task, micro_batch_size=2))
    validation = float(trainer.callback_metrics["validation/loss"])
    return [*losses.found, validation], {parameter.dtype for parameter in module.parameters()}


@pytest.mark.parametrize("task", ["classification", "question_answering_bio", "regression"])
def test_half_precision_on_the_cpu(task: str, tmp_path: Path) -> None:
    expected, _ = losses_of(task, tmp_path, precision="32-true")
    assert len(expected) == STEPS + 1 and len(set(expected)) > 1
    for precision, of_weights in (("bf16-mixed", torch.float32), ("bf16-true", torch.bfloat16)):
        losses, dtypes = losses_of(task, tmp_path, precision=precision)
        assert losses == pytest.approx(expected, rel=0.05) and losses != expected
        assert dtypes == {of_weights}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("task", TASKS)
def test_every_precision_on_a_gpu(task: str, tmp_path: Path) -> None:
    expected, _ = losses_of(task, tmp_path, precision="32-true")
    tolerances = {
        ("32-true", "highest"): 5e-3,
        ("32-true", "high"): 0.05,
        ("bf16-mixed", "high"): 0.05,
        ("16-mixed", "high"): 0.05,
        ("bf16-true", "high"): 0.05,
        ("64-true", "highest"): 5e-3,
    }
    for (precision, of_products), tolerance in tolerances.items():
        torch.set_float32_matmul_precision(of_products)
        try:
            losses, _ = losses_of(task, tmp_path, precision=precision, accelerator="gpu")
        finally:
            torch.set_float32_matmul_precision("highest")
        # The first steps of 16-mixed may be skipped, until the loss scale is small enough.
        number = 1 if precision == "16-mixed" else len(expected)
        assert losses[:number] == pytest.approx(expected[:number], rel=tolerance), precision
