"""A user's own callback that kills one process of a run at a step, or lets it stand still."""

import atexit
import os
import signal
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class Loss(Callback):
    """Kills a process with SIGKILL, and notes in `killed_at` when.

    A process that survives and ends through Python's finalization leaves a file `finalized`.

    Args:
        rank: The process that is killed.
        step: The index of the step at whose beginning it is.
        others_wait: Whether the others wait there, as in NCCL, which raises no error.
        stands_still: Whether the process sleeps instead.
    """

    def __init__(
        self, rank: int, step: int, others_wait: bool = False, stands_still: bool = False
    ) -> None:
        self.rank = rank
        self.step = step
        self.others_wait = others_wait
        self.stands_still = stands_still

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch.index != self.step:
            return
        if trainer.global_rank == self.rank:
            Path("killed_at").write_text(str(time.time()))
            if self.stands_still:
                time.sleep(600)
            os.kill(os.getpid(), signal.SIGKILL)
        atexit.register(Path("finalized").write_text, "")
        if self.others_wait:
            time.sleep(600)
