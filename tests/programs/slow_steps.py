"""A user's own callback that leaves time to do something to a run in the midst of it."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class SlowSteps(Callback):
    """Waits before every step.

    Args:
        seconds: How long.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        time.sleep(self.seconds)
