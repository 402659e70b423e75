"""Compares the MLM loss with the entropy of token frequencies, and warns if it stays there."""

import math
from collections import deque
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from clozekit.data.module import StreamDataModule
from clozekit.data.step import StepBatch
from clozekit.output.display import say, warn
from clozekit.tasks.base import TaskModule

LOSS = "train/mlm_loss"
ENTROPY = "train/unigram_entropy"

FEWEST_STEPS = 100
"""A shorter run is too short to judge."""

EARLIEST, LATEST = 1_000, 20_000
"""By default the loss is looked at after a quarter of the steps, within these limits."""

ROWS = 20
"""The number of logged losses whose mean is compared."""


class UnigramBaseline(Callback):
    """Warns once if the MLM loss has not left the entropy of the token frequencies.

    A model that has only learnt how frequent each token is, and nothing from context, has this
    loss. It is printed at the start, and logged with the first row. Tasks without an MLM loss have
    no such entropy, and nothing is done for them.

    Args:
        after_n_steps: The step at which the loss is compared; None for a quarter of the steps, but
            at least 1,000 and at most 20,000, or the last step of a shorter run. Runs of less than
            100 steps are then not compared.
        margin: By how many nats the mean of the last logged losses has to be below the entropy.
    """

    def __init__(self, after_n_steps: int | None = None, margin: float = 0.1) -> None:
        self.after_n_steps = after_n_steps
        self.margin = margin
        self.entropy: float | None = None
        self.is_done = False
        self._losses: deque[float] = deque(maxlen=ROWS)

    def state_dict(self) -> dict[str, Any]:
        """Returns the entropy and the last losses."""
        return {"entropy": self.entropy, "losses": list(self._losses), "is_done": self.is_done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the entropy and the last losses."""
        self.entropy = state_dict["entropy"]
        self.is_done = state_dict["is_done"]
        self._losses = deque(state_dict["losses"], maxlen=ROWS)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Estimates the entropy, and prints it."""
        if not trainer.is_global_zero:
            return
        data: StreamDataModule = trainer.datamodule  # type: ignore[attr-defined]
        if self.entropy is None and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.entropy = data.unigram_entropy()
        if self.entropy is not None:
            say(
                f"token frequencies alone give an MLM loss of {self.entropy:.2f} (perplexity "
                f"{math.exp(self.entropy):,.0f})"
            )

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: StepBatch[Any],
        batch_idx: int,
    ) -> None:
        """Compares the loss when it is due."""
        assert isinstance(pl_module, TaskModule)
        loss = pl_module.logged.get(LOSS)
        if self.entropy is None or self.is_done or loss is None:
            return
        if pl_module.is_logged(batch):
            self._losses.append(loss)
        due = self._step_of_comparison(trainer.max_steps)
        if due is not None and batch.index + 1 >= due:
            self.is_done = True
            self._compare(pl_module, batch.index + 1)

    def row(self, module: TaskModule[Any], batch: StepBatch[Any]) -> dict[str, float]:
        """Returns the entropy for the first logged row."""
        is_first = batch.index + 1 == module.log_every_n_steps
        return {ENTROPY: self.entropy} if is_first and self.entropy is not None else {}

    def _step_of_comparison(self, max_steps: int) -> int | None:
        if self.after_n_steps is not None:
            return self.after_n_steps
        if max_steps < FEWEST_STEPS:
            return None
        return min(max_steps, max(EARLIEST, min(LATEST, max_steps // 4)))

    def _compare(self, module: TaskModule[Any], step: int) -> None:
        assert self.entropy is not None
        losses = [loss for loss in self._losses if math.isfinite(loss)]
        if not losses:
            return
        loss = math.fsum(losses) / len(losses)
        if loss <= self.entropy - self.margin:
            return
        lr = max(group["initial_lr"] for group in module.optimizers().param_groups)  # type: ignore[union-attr]
        warn(
            f"after {step:,} steps the MLM loss is {loss:.2f}, and token frequencies alone give "
            f"{self.entropy:.2f}: the model has not learnt from context yet; try another "
            f"optimizer.lr (now {lr:g}), a longer schedule.warmup_steps, a larger "
            "global_batch_size, or more steps"
        )
