"""A user's callbacks that look at the weights, change them, or let a step diverge."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from clozekit.tasks.averaged_weights import averaging_of


class Looking(Callback):
    """Keeps the weights at the start, and after the steps that are named.

    Args:
        steps: The numbers of steps done.
    """

    start: dict[str, Tensor]
    trained: dict[int, dict[str, Tensor]]
    average: dict[int, dict[str, Tensor]]
    updated: dict[int, int]

    def __init__(self, steps: list[int] | None = None) -> None:
        self.steps = steps or []
        type(self).trained, type(self).average, type(self).updated = {}, {}, {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        type(self).start = _copy(pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (step := trainer.global_step) in self.steps:
            self.trained[step] = _copy(pl_module)
            for averaging in averaging_of(trainer):
                assert averaging._average_model is not None
                self.average[step] = _copy(averaging._average_model.module)
                self.updated[step] = averaging._latest_update_step


class Diverging(Callback):
    """Lets a step diverge by a limit that no loss is below.

    Args:
        step: The index of the step.
    """

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        limit = 1e-6 if trainer.global_step == self.step else None
        guard = pl_module.guard
        guard.config = guard.config.model_copy(update={"max_loss": limit})


class Scaling(Callback):
    """Puts other weights into the model at the end of training, as an average written by hand.

    Args:
        by_data: Whether it changes them by `data`, for which torch counts no new version.
    """

    def __init__(self, by_data: bool = False) -> None:
        self.by_data = by_data

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with torch.no_grad():
            for parameter in pl_module.parameters():
                (parameter.data if self.by_data else parameter).mul_(3.0)


def _copy(module: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}
