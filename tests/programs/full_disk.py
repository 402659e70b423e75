"""A user's own callback after which no large file can be written, as on a full disk."""

import resource
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class FullDisk(Callback):
    """Limits the size of files.

    Args:
        step: The step's index from whose beginning on.
        num_bytes: The limit, smaller than a checkpoint.
    """

    def __init__(self, step: int, num_bytes: int = 50_000) -> None:
        self.step = step
        self.num_bytes = num_bytes

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch.index >= self.step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.num_bytes, self.num_bytes))
