"""A user's own callback that sends signals at a moment that does not depend on the clock."""

import os
import signal
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class Signaller(Callback):
    """Sends a signal, once, from one process.

    Args:
        name: The signal.
        step: The step's index; in a validation the number of steps done.
        micro_step: The micro-batch of the step at whose beginning it is sent.
        rank: The process that sends it.
        to: `self`, `parent` or `group`, the whole process group.
        times: How often it is sent.
        in_validation: Whether it is sent in the validation instead.
    """

    def __init__(
        self,
        name: str,
        step: int,
        micro_step: int = 0,
        rank: int = 0,
        to: str = "self",
        times: int = 1,
        in_validation: bool = False,
    ) -> None:
        self.number = signal.Signals[name]
        self.moment = (step, micro_step, rank)
        self.to = to
        self.times = times
        self.in_validation = in_validation
        self._step = 0
        self._micro_step = 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._step, self._micro_step = batch.index, 0
        self._send_in_step(trainer)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._micro_step += 1
        self._send_in_step(trainer)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        here = (trainer.global_step, batch_idx, trainer.global_rank)
        if here == self.moment and self.in_validation:
            self._send()

    def _send_in_step(self, trainer: Trainer) -> None:
        here = (self._step, self._micro_step, trainer.global_rank)
        if here == self.moment and not self.in_validation:
            self._send()

    def _send(self) -> None:
        for _ in range(self.times):
            if self.to == "group":
                os.killpg(os.getpgrp(), self.number)
            else:
                os.kill(os.getppid() if self.to == "parent" else os.getpid(), self.number)
