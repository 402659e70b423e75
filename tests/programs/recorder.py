"""A user's own callback, in a module beside the run: writes down what the steps were made of."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer


class Recorder(Callback):
    """Keeps every micro-batch's samples and the gradients of the first optimizer step.

    Args:
        folder: Where each process writes `rank<i>.pt` to, when training ends.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.micro_batches: list[dict[str, Any]] = []
        self.gradients: dict[str, torch.Tensor] = {}

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.micro_batches += [
            {
                "step": trainer.global_step,
                "sample_ids": micro_batch.sample_ids.tolist(),
                "num_targets": len(micro_batch.masked_lm_labels),
            }
            for micro_batch in batch.micro_batches
        ]

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if trainer.global_step == 0:
            self.gradients = {
                name: parameter.grad.clone()
                for name, parameter in pl_module.named_parameters()
                if parameter.grad is not None
            }

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        record = {"gradients": self.gradients, "micro_batches": self.micro_batches}
        torch.save(record, self.folder / f"rank{trainer.global_rank}.pt")
