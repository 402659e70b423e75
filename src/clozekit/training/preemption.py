"""SIGTERM and SIGINT: a checkpoint at the next step, and an exit code that says to start again."""

import os
import signal
import threading
from types import FrameType
from typing import Any

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import ParallelStrategy

from clozekit.data.step import StepBatch
from clozekit.exit_codes import PREEMPTED
from clozekit.tasks.base import TaskModule
from clozekit.training.checkpoints import Checkpoints
from clozekit.training.validation import validation_follows


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
        self.is_agreed = False
        self._module: TaskModule[Any] | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the signals over from Lightning, whose handlers run collectives."""
        assert isinstance(pl_module, TaskModule)
        self._module = pl_module
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
        batch: StepBatch[Any],
        batch_idx: int,
    ) -> None:
        """Ends the run after a step at which all processes agreed, unless a validation follows."""
        assert isinstance(pl_module, TaskModule)
        self.is_agreed = pl_module.stop_agreed
        if self.is_agreed and not validation_follows(trainer):
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
        self._request_stop()

    def _on_sigint(self, number: int, frame: FrameType | None) -> None:
        if self._module is not None and self._module.stop_requested:
            self.aborted = True
            raise KeyboardInterrupt
        self._request_stop()
        # Not print, which may be at work where the signal falls.
        os.write(1, b"saving at the next step; Ctrl-C again to stop at once\n")

    def _request_stop(self) -> None:
        """Tells the task, whose next step tells the other processes."""
        if self._module is not None:
            self._module.stop_requested = True
