"""A user's own callback that kills one process of a run at a step."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class Loss(Callback):
    """Kills a process with SIGKILL, and notes in `killed_at` when.

    Args:
        rank: The process that is killed.
        step: The index of the step at whose beginning it is.
        others_wait: Whether the others wait there, as in NCCL, which raises no error.
    """

    def __init__(self, rank: int, step: int, others_wait: bool = False) -> None:
        self.rank = rank
        self.step = step
        self.others_wait = others_wait

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch.index != self.step:
            return
        if trainer.global_rank == self.rank:
            Path("killed_at").write_text(str(time.time()))
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.others_wait:
            time.sleep(600)
