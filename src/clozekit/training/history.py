"""The training history: one row of metrics per logged step, in every logger."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from clozekit.data.step import StepBatch
from clozekit.tasks.base import TaskModule
from clozekit.training.checkpoints import Checkpoints
from clozekit.training.flops import FlopRate, step_flops
from clozekit.training.unigram import UnigramBaseline


class StepHistory(Callback):
    """Logs the metrics and the speed of logged steps, before a checkpoint of the step is saved.

    The losses of a step are sums over all processes and micro-batches divided by the step's totals,
    so they do not depend on the number of processes. `tokens_per_second` counts the tokens of all
    processes since the last row, without padding and without the time of validation.
    `flops_per_second` counts the operations of the model in the same way, and `mfu` is their share
    of the peak of the devices, where that is known.
    """

    def __init__(self) -> None:
        self._tokens = 0
        self._since = 0.0
        self._paused_at = 0.0
        self._began = 0.0
        self._paused = 0.0
        self._flop_rate: FlopRate | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        assert isinstance(pl_module, TaskModule)
        self._began = time.perf_counter()
        self._paused = 0.0
        self._flop_rate = FlopRate(trainer, pl_module.log_every_n_steps)
        self._restart_clock()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops the clock."""
        self._paused_at = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restarts the clock."""
        pause = time.perf_counter() - self._paused_at
        self._since += pause
        self._paused += pause

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: StepBatch[Any],
        batch_idx: int,
    ) -> None:
        """Logs a row after a logged step."""
        assert isinstance(pl_module, TaskModule)
        self._tokens += batch.num_tokens
        self._add_flops(pl_module, batch)
        if not pl_module.is_logged(batch):
            return
        row = {
            **self._baseline(trainer, pl_module, batch),
            "train/tokens_per_second": self._tokens / (time.perf_counter() - self._since),
            **({} if self._flop_rate is None else self._flop_rate.metrics()),
            **self._checkpoint_cost(trainer),
        }
        self._restart_clock()
        for name, value in row.items():
            logged = torch.tensor(value, dtype=torch.float64)
            pl_module.log(name, logged, logger=False, on_epoch=False)
        for logger in trainer.loggers:
            logger.log_metrics({**pl_module.logged, **row}, step=batch.index + 1)

    def _baseline(
        self, trainer: Trainer, module: TaskModule[Any], batch: StepBatch[Any]
    ) -> dict[str, float]:
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        baselines = [c for c in callbacks if isinstance(c, UnigramBaseline)]
        return baselines[0].row(module, batch) if baselines else {}

    def _add_flops(self, module: TaskModule[Any], batch: StepBatch[Any]) -> None:
        flops = step_flops(module, batch)
        if flops is not None and self._flop_rate is not None:
            self._flop_rate.add(time.perf_counter() - self._began - self._paused, flops)

    def _checkpoint_cost(self, trainer: Trainer) -> dict[str, float]:
        """Returns the seconds spent on checkpoints so far, and their share of the training time."""
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
