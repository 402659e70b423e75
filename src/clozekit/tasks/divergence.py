"""Detects steps that diverge, before they change the weights and on all processes alike."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed
from torch.optim import Optimizer

from clozekit.config.train_groups import DivergenceConfig
from clozekit.data.step import StepBatch
from clozekit.errors import DivergenceError
from clozekit.output.display import say
from clozekit.tasks.averaged_weights import restore_weights

if TYPE_CHECKING:
    from clozekit.tasks.base import TaskModule


MOST_SKIPPED = 40
"""With 16-mixed, this many skipped steps in a row are a divergence: the scale of the loss is halved
at each, and torch begins with 65,536, which 17 halvings bring to less than 1."""


class NonFiniteLossError(DivergenceError):
    """The loss of a step is infinite or NaN."""


class DivergenceGuard:
    """Checks the loss and the gradient norm of every step; both are equal on all processes.

    Args:
        config: The limits, and the action if they are exceeded.
        checkpoint: The checkpoint that a rollback loads.

    Attributes:
        rollbacks: The number of rollbacks so far.
        skipped: The number of the last steps in a row whose gradient norm was not finite.
    """

    def __init__(
        self, config: DivergenceConfig | None = None, checkpoint: Path | None = None
    ) -> None:
        self.config = config or DivergenceConfig()
        self.checkpoint = checkpoint
        self.rollbacks = 0
        self.skipped = 0

    def judge(
        self,
        module: "TaskModule[Any]",
        optimizer: Optimizer,
        step: StepBatch[Any],
        losses: Sequence[Tensor],
        *,
        loss: float,
        grad_norm: float,
    ) -> None:
        """Checks a step whose gradients are complete, before the optimizer uses them.

        Args:
            module: The task.
            optimizer: Its optimizer.
            step: The step.
            losses: The loss of each of this process's micro-batches, each `[]`.
            loss: The step's loss, the same on all processes.
            grad_norm: The norm of the step's gradient, the same on all processes.

        Raises:
            DivergenceError: The step diverges and the run has to stop.
        """
        problem = self._problem(module, step, losses, loss, grad_norm)
        if problem is None:
            return
        if self.config.action == "stop":
            raise problem
        self._roll_back(module, optimizer, step, problem)

    def _problem(
        self,
        module: "TaskModule[Any]",
        step: StepBatch[Any],
        losses: Sequence[Tensor],
        loss: float,
        grad_norm: float,
    ) -> DivergenceError | None:
        at = f"at step {step.index + 1}"  # its number in the history
        if not math.isfinite(loss):
            return NonFiniteLossError(
                f"the loss is not finite {at}; the samples in the affected micro-batches "
                f"(epoch:shard:sample) are {_bad_samples(step, losses)}"
            )
        if not math.isfinite(grad_norm):
            # A gradient scaler tries scales that are too large, and then skips the step.
            self.skipped += 1
            if module.trainer.precision == "16-mixed" and self.skipped < MOST_SKIPPED:
                return None
            in_a_row = f" {self.skipped} times in a row, the last time" if self.skipped > 1 else ""
            return DivergenceError(f"the gradient norm is {grad_norm}{in_a_row} {at}")
        self.skipped = 0
        if self.config.max_grad_norm is not None and grad_norm > self.config.max_grad_norm:
            return DivergenceError(
                f"the gradient norm is {grad_norm:.4g} {at}, more than divergence.max_grad_norm="
                f"{self.config.max_grad_norm}"
            )
        if self.config.max_loss is not None and loss > self.config.max_loss:
            return DivergenceError(
                f"the loss is {loss:.4g} {at}, more than divergence.max_loss={self.config.max_loss}"
            )
        return None

    def _roll_back(
        self,
        module: "TaskModule[Any]",
        optimizer: Optimizer,
        step: StepBatch[Any],
        problem: DivergenceError,
    ) -> None:
        if self.checkpoint is None or not self.checkpoint.is_file():
            raise DivergenceError(f"{problem}; there is no checkpoint to roll back to") from problem
        if self.rollbacks == self.config.max_rollbacks:
            raise DivergenceError(
                f"{problem}; divergence.max_rollbacks={self.config.max_rollbacks} is reached"
            ) from problem
        self.rollbacks += 1
        self.skipped = 0
        # On the host: both `load_state_dict` copy, and a GPU may have no memory for a second state.
        content = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        restore_weights(module, content)
        optimizer.load_state_dict(content["optimizer_states"][0])
        # Without gradients, the optimizer step does not change the weights.
        optimizer.zero_grad(set_to_none=True)
        if module.trainer.is_global_zero:
            say(f"{problem}; rolled back to the weights of step {content['global_step']}")
        for logger in module.trainer.loggers:
            logger.log_metrics({"train/rollbacks": float(self.rollbacks)}, step=step.index + 1)


def _bad_samples(step: StepBatch[Any], losses: Sequence[Tensor]) -> str:
    """Lists the samples of all micro-batches whose loss is not finite, over all processes."""
    bad = [
        f"{epoch}:{shard}:{sample}"
        for batch, loss in zip(step.micro_batches, losses, strict=True)
        if not torch.isfinite(loss)
        for epoch, shard, sample in batch.sample_ids.tolist()
    ]
    if distributed.is_available() and distributed.is_initialized():
        # All processes have the same loss of the step, so all of them are here.
        of_all: list[list[str]] = [[] for _ in range(distributed.get_world_size())]
        distributed.all_gather_object(of_all, bad)
        bad = [sample for of_one in of_all for sample in of_one]
    return ", ".join(bad) or "unknown, because only their sum is not finite"
