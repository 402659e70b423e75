"""A user's own callback that spoils a weight."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class Saboteur(Callback):
    """Makes the loss of one step not a number.

    Args:
        step: The step before which a bias becomes nan.
    """

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        if trainer.global_step == self.step:
            with torch.no_grad():
                next(p for p in pl_module.parameters() if p.ndim == 1).fill_(torch.nan)
