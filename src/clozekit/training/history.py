"""The history of training: a row of metrics for each logged step, in every logger."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from clozekit.data.batch import Batch
from clozekit.tasks.base import TaskModule
from clozekit.training.checkpoints import Checkpoints
from clozekit.training.steps import ends_step


class StepHistory(Callback):
    """Logs the metrics of every `log_every_n_steps`-th global step, under the split's name.

    A step's losses are sums over all processes and micro-batches by the global denominators, so a
    row means the same on any number of them. `tokens_per_second` counts real tokens of all
    processes since the last row, without the time of validation.

    Attributes:
        latest: The last row, for whoever shows it.
    """

    def __init__(self) -> None:
        self.latest: dict[str, float] = {}
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
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Logs a row where a global step ends and is due."""
        step = batch.step
        assert step is not None and isinstance(pl_module, TaskModule)
        if not ends_step(batch):
            return
        self._tokens += step.num_tokens
        if not pl_module.is_logged(step):
            return
        metrics = pl_module.step_metrics(step, pl_module.take_step_sums())
        metrics |= {name: float(value) for name, value in pl_module.step_state.items()}
        metrics["tokens_per_second"] = self._tokens / (time.perf_counter() - self._since)
        metrics["epoch"] = step.next_position.epoch
        metrics |= self._checkpoint_cost(trainer)
        self._restart_clock()
        self.latest = {f"train/{name}": value for name, value in metrics.items()}
        for logger in trainer.loggers:
            logger.log_metrics(self.latest, step=step.index + 1)

    def _checkpoint_cost(self, trainer: Trainer) -> dict[str, float]:
        """Gives the seconds spent on checkpoints so far, and their share of the training time."""
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        seconds = sum(c.seconds for c in callbacks if isinstance(c, Checkpoints))
        elapsed = time.perf_counter() - self._began
        return {"checkpoint_seconds": seconds, "checkpoint_share": seconds / elapsed}

    def _restart_clock(self) -> None:
        self._tokens = 0
        self._since = time.perf_counter()
