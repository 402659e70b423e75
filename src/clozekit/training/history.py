"""The history of training: one row of metrics for each logged step, in every logger."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from clozekit.data.step import StepBatch
from clozekit.tasks.base import TaskModule
from clozekit.training.checkpoints import Checkpoints


class StepHistory(Callback):
    """Writes the metrics of logged steps, with the speed, before a checkpoint of the step is saved.

    A step's losses are sums over all processes and micro-batches, divided by the step's totals, so
    a row means the same on any number of them. `tokens_per_second` counts real tokens of all
    processes since the last row, without the time of validation.
    """

    def __init__(self) -> None:
        self._tokens = 0
        self._since = 0.0
        self._paused_at = 0.0
        self._began = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self._began = time.perf_counter()
        self._restart_clock()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops the clock."""
        self._paused_at = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lets the clock go on."""
        self._since += time.perf_counter() - self._paused_at

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: StepBatch[Any],
        batch_idx: int,
    ) -> None:
        """Writes a row after a step that is logged."""
        assert isinstance(pl_module, TaskModule)
        self._tokens += batch.num_tokens
        if not pl_module.is_logged(batch):
            return
        speed = {
            "train/tokens_per_second": self._tokens / (time.perf_counter() - self._since),
            **self._checkpoint_cost(trainer),
        }
        self._restart_clock()
        for name, value in speed.items():
            logged = torch.tensor(value, dtype=torch.float64)
            pl_module.log(name, logged, logger=False, on_epoch=False)
        for logger in trainer.loggers:
            logger.log_metrics({**pl_module.logged, **speed}, step=batch.index + 1)

    def _checkpoint_cost(self, trainer: Trainer) -> dict[str, float]:
        """Gives the seconds spent on checkpoints so far, and their share of the training time."""
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        seconds = sum(c.seconds for c in callbacks if isinstance(c, Checkpoints))
        elapsed = time.perf_counter() - self._began
        return {
            "train/checkpoint_seconds": seconds,
            "train/checkpoint_share": seconds / elapsed,
        }

    def _restart_clock(self) -> None:
        self._tokens = 0
        self._since = time.perf_counter()
