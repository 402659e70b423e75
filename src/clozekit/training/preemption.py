"""SIGTERM and SIGINT: a checkpoint at the next step, and an exit code that says to start again."""

import os
import signal
import threading
from types import FrameType
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import ParallelStrategy

from clozekit.data.batch import Batch
from clozekit.exit_codes import PREEMPTED
from clozekit.training.checkpoints import Checkpoints
from clozekit.training.steps import ends_step, validation_is_due


def exit_on_sigterm() -> None:
    """Makes SIGTERM end the process with `PREEMPTED` where there is no training to be saved."""
    signal.signal(signal.SIGTERM, _exit)


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(PREEMPTED)


class Preemption(Callback):
    """Saves and ends the run at the next optimizer step after SIGTERM or SIGINT, on all processes.

    The signal's handler only takes note: a handler that saved could run inside a step, or on one
    process alone. A signal to one process is heeded by all, for they agree at every step. A second
    SIGINT ends the run at once.

    Attributes:
        aborted: Whether a second SIGINT came.
        is_agreed: Whether all processes know that the run ends after this step.
    """

    def __init__(self) -> None:
        self.aborted = False
        self._is_asked = False
        self.is_agreed = False
        self._previous: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the signals over from Lightning, whose handlers run collectives."""
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread may; in another one a program of the user's handles them
        self._previous = {
            signal.SIGTERM: signal.signal(signal.SIGTERM, self._on_sigterm),
            signal.SIGINT: signal.signal(signal.SIGINT, self._on_sigint),
        }

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Gives the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Asks all processes at the end of a step; ends the run, unless a validation follows."""
        if not ends_step(batch):
            return
        asked = torch.tensor(float(self._is_asked), device=trainer.strategy.root_device)
        self.is_agreed = bool(trainer.strategy.reduce(asked, reduce_op="max"))
        if self.is_agreed and not validation_is_due(trainer):
            self._save_and_exit(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends the run after the validation of the step at which it was agreed."""
        if self.is_agreed:
            self._save_and_exit(trainer)

    def _save_and_exit(self, trainer: Trainer) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Checkpoints):
                callback.save_preempted(trainer)
        trainer.strategy.barrier("preemption")
        # Lightning kills the first process when one that it started ends with another code than 0.
        # Under torchrun and Slurm the cluster's environment is another, and every process tells.
        was_started_by_lightning = (
            isinstance(trainer.strategy, ParallelStrategy)
            and isinstance(trainer.strategy.cluster_environment, LightningEnvironment)
            and trainer.local_rank > 0
        )
        raise SystemExit(0 if was_started_by_lightning else PREEMPTED)

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        self._is_asked = True

    def _on_sigint(self, number: int, frame: FrameType | None) -> None:
        if self._is_asked:
            self.aborted = True
            raise KeyboardInterrupt
        self._is_asked = True
        # Not print, which may be at work where the signal falls.
        os.write(1, b"saving at the next step; Ctrl-C again to stop at once\n")
