"""Steps that diverge: found before they change a weight, alike on all processes."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.optim import Optimizer

from clozekit.config.train import DivergenceConfig
from clozekit.data.batch import Batch

if TYPE_CHECKING:
    from clozekit.tasks.base import TaskModule


class DivergenceError(RuntimeError):
    """A step's loss or gradient is too large, or no number."""


class NonFiniteLossError(DivergenceError):
    """A loss became infinite or not a number."""


class DivergenceGuard:
    """Watches every step's loss and gradient norm.

    Which processes saw a bad loss does not matter: what is decided by is equal on all of them.

    Args:
        config: What counts as diverging, and what is done about it.
        checkpoint: The file that a rollback goes to.

    Attributes:
        rollbacks: How many there were.
    """

    def __init__(
        self, config: DivergenceConfig | None = None, checkpoint: Path | None = None
    ) -> None:
        self.config = config or DivergenceConfig()
        self.checkpoint = checkpoint
        self.rollbacks = 0
        self._loss: Tensor | None = None
        self._step = 0
        self._bad_samples: list[str] = []

    def watch(self, loss: Tensor, batch: Batch) -> None:
        """Takes note of a micro-batch's loss, as it goes into backward."""
        assert batch.step is not None
        self._step = batch.step.index
        loss = loss.detach()
        self._loss = loss if self._loss is None else self._loss + loss
        if not torch.isfinite(loss):
            self._bad_samples += [f"{e}:{s}:{i}" for e, s, i in batch.sample_ids.tolist()]

    def end_step(self, module: "TaskModule", optimizer: Optimizer, grad_norm: float) -> None:  # type: ignore[type-arg]
        """Judges a step whose gradients are complete, before the optimizer uses them.

        Raises:
            DivergenceError: It diverges, and the run is to stop.
        """
        loss, samples = self._loss, self._bad_samples
        self._loss, self._bad_samples = None, []
        problem = self._problem(module, loss, samples, grad_norm)
        if problem is None:
            return
        if self.config.action == "stop":
            raise problem
        self._roll_back(module, optimizer, problem)

    def _problem(
        self,
        module: "TaskModule",  # type: ignore[type-arg]
        loss: Tensor | None,
        samples: list[str],
        grad_norm: float,
    ) -> DivergenceError | None:
        reduce = module.trainer.strategy.reduce
        at = f"at step {self._step}"
        if not math.isfinite(grad_norm):
            # All processes come here together, for the norm is that of the summed gradients. With a
            # gradient scaler it may be infinite where no loss is: then the scaler skips the step.
            num_bad = torch.tensor(float(len(samples)), device=module.device)
            if reduce(num_bad, reduce_op="sum") > 0:
                listed = ", ".join(samples) or "on another process"
                return NonFiniteLossError(
                    f"the loss is not a finite number {at}; the samples of its micro-batches "
                    f"(epoch:shard:sample) are {listed}"
                )
            if module.trainer.precision != "16-mixed":
                return DivergenceError(f"the gradient's norm is {grad_norm} {at}")
            return None
        if self.config.max_grad_norm is not None and grad_norm > self.config.max_grad_norm:
            return DivergenceError(
                f"the gradient's norm is {grad_norm:.4g} {at}, more than divergence.max_grad_norm="
                f"{self.config.max_grad_norm}"
            )
        if self.config.max_loss is not None and loss is not None:
            mean = reduce(loss / module.trainer.accumulate_grad_batches, reduce_op="mean")
            if mean > self.config.max_loss:
                return DivergenceError(
                    f"the loss is {float(mean):.4g} {at}, more than divergence.max_loss="
                    f"{self.config.max_loss}"
                )
        return None

    def _roll_back(
        self,
        module: "TaskModule",  # type: ignore[type-arg]
        optimizer: Optimizer,
        problem: DivergenceError,
    ) -> None:
        if self.checkpoint is None or not self.checkpoint.is_file():
            raise DivergenceError(f"{problem}; there is no checkpoint to go back to") from problem
        if self.rollbacks == self.config.max_rollbacks:
            raise DivergenceError(
                f"{problem}; divergence.max_rollbacks={self.config.max_rollbacks} are taken"
            ) from problem
        self.rollbacks += 1
        content = torch.load(self.checkpoint, map_location=module.device, weights_only=True)
        module.load_state_dict(content["state_dict"])
        optimizer.load_state_dict(content["optimizer_states"][0])
        # Without gradients the optimizer's step changes nothing.
        optimizer.zero_grad(set_to_none=True)
        if module.trainer.is_global_zero:
            print(f"{problem}; back to the weights of step {content['global_step']}", flush=True)
        for logger in module.trainer.loggers:
            logger.log_metrics({"train/rollbacks": float(self.rollbacks)}, step=self._step + 1)
