"""What all tasks share: the optimizer, the loss's scale, a step's sums over all processes."""

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from clozekit.config.train import ScheduleConfig
from clozekit.data.batch import Batch, Step
from clozekit.data.order import Position
from clozekit.models.encoder import Encoder
from clozekit.optim.groups import parameter_groups, with_layerwise_decay
from clozekit.optim.schedules import make_schedule
from clozekit.tasks.divergence import DivergenceGuard

BatchT = TypeVar("BatchT", bound=Batch)


class TaskModule(LightningModule, Generic[BatchT]):
    """A model and how it is trained. A task adds its steps and its metrics.

    A training batch is a micro-batch of a global step. Lightning divides its loss by the number of
    micro-batches, and DDP averages gradients over processes; both are undone by `as_global_mean`,
    so that the gradient is that of the mean over the whole global batch, however it was shared out.

    Args:
        optimizer: Makes the optimizer from parameter groups; None of a module that is not trained.
        schedule: The learning rate's course.
        max_steps: The optimizer step at which the course ends.
        weight_decay: The decay of all parameters but biases and norms.
        layerwise_lr_decay: What the learning rate of each block is multiplied with from the block
            above it down; see `parameter_groups`.
        log_every_n_steps: How often a step's metrics are logged, and so computed.
        guard: What watches for steps that diverge.

    Attributes:
        model: The torch module; its encoder is `model.encoder`.
        evaluates_best: Whether the task is judged by its best checkpoint, not by its last weights.
        monitor: The validation metric that checkpoints and early stopping go by.
        monitor_mode: Whether its smallest (`min`) or its largest (`max`) value is the best.
    """

    model: nn.Module
    evaluates_best = True
    monitor = "validation/loss"
    monitor_mode: Literal["min", "max"] = "min"

    def __init__(
        self,
        *,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer] | None = None,
        schedule: ScheduleConfig | None = None,
        max_steps: int = 1,
        weight_decay: float = 0.0,
        layerwise_lr_decay: float = 1.0,
        log_every_n_steps: int = 10,
        guard: DivergenceGuard | None = None,
    ) -> None:
        super().__init__()
        self.make_optimizer = optimizer
        self.schedule = schedule or ScheduleConfig()
        self.max_steps = max_steps
        self.weight_decay = weight_decay
        self.layerwise_lr_decay = layerwise_lr_decay
        self.log_every_n_steps = log_every_n_steps
        self.guard = guard or DivergenceGuard()
        self.step_state: dict[str, float | Tensor] = {}
        self._step_sums: dict[str, Tensor] = {}

    @property
    def encoder(self) -> Encoder:
        """The encoder that all tasks share."""
        encoder = self.model.encoder
        assert isinstance(encoder, Encoder)
        return encoder

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Makes the optimizer and the schedule, which moves with every optimizer step."""
        assert self.make_optimizer is not None, "a module that is trained has an optimizer"
        groups = parameter_groups(self, self.weight_decay)
        if self.layerwise_lr_decay != 1.0:
            groups = with_layerwise_decay(groups, self.encoder, self.layerwise_lr_decay)
        optimizer = self.make_optimizer(groups)
        for group in optimizer.param_groups:
            group["lr"] *= group.get("lr_scale", 1.0)
        scheduler = LambdaLR(optimizer, make_schedule(self.schedule, self.max_steps))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_train_start(self) -> None:
        """Sets the learning rate of the next step, which a longer run than planned has changed."""
        steps = self.trainer.global_step
        for group in self._optimizer().param_groups:
            factor = make_schedule(self.schedule, self.max_steps)(steps)
            group["lr"] = group["initial_lr"] * factor

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips by the norm of all gradients, and keeps that norm to be logged.

        Raises:
            DivergenceError: The step diverges, and the run is to stop.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, gradient_clip_val or torch.inf)
        self.step_state = {
            "grad_norm": norm.detach(),
            "learning_rate": max(group["lr"] for group in optimizer.param_groups),
        }
        self.guard.end_step(self, optimizer, float(norm))

    def as_global_mean(self, total: Tensor, denominator: int) -> Tensor:
        """Scales a micro-batch's summed loss to its share of the global batch's mean."""
        micro_batches = self.trainer.accumulate_grad_batches * self.trainer.world_size
        return total * (micro_batches / denominator)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the number of rollbacks."""
        checkpoint["rollbacks"] = self.guard.rollbacks

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes the number of rollbacks over; makes room for weights of double precision.

        Lightning loads weights before it converts the module, which would round them.
        """
        if self.trainer.precision == "64-true":
            self.double()
        self.guard.rollbacks = checkpoint.get("rollbacks", 0)

    def _optimizer(self) -> Optimizer:
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, Optimizer)
        return optimizer

    def is_logged(self, step: Step) -> bool:
        """Whether the global step's metrics are logged; elsewhere they need not be computed."""
        return (step.index + 1) % self.log_every_n_steps == 0

    def add_to_step(self, **sums: Tensor) -> None:
        """Adds a micro-batch's sums to those of the global step."""
        for name, value in sums.items():
            self._step_sums[name] = self._step_sums.get(name, 0.0) + value.detach()

    def take_step_sums(self) -> dict[str, float]:
        """Gives the global step's sums over all processes, and clears them.

        Every process must call it at the same steps.
        """
        names, values = list(self._step_sums), list(self._step_sums.values())
        self._step_sums = {}
        if not names:
            return {}
        # MPS has no float64.
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        stacked = torch.stack([value.to(dtype) for value in values])
        total = self.trainer.strategy.reduce(stacked, reduce_op="sum")
        return dict(zip(names, total.tolist(), strict=True))

    def log_evaluation(self, metrics: dict[str, Any]) -> None:
        """Logs a split's metrics at the number of steps done, in the data's own epoch.

        Lightning would count a step less in the midst of training, and its epoch is always the
        first. The best checkpoint's validation stands in the history already, at its own step.
        """
        position = getattr(getattr(self.trainer, "datamodule", None), "position", Position())
        repeats = self.evaluates_best and self.trainer.state.fn == TrainerFn.VALIDATING
        places = {"step": float(self.trainer.global_step), "epoch": float(position.epoch)}
        self.log_dict({**metrics, **places}, logger=not repeats)

    def validation_metrics_and_modes(self) -> dict[str, Literal["min", "max"] | None] | None:
        """Gives the validation's metrics, each with its best value's side where it has one.

        Returns:
            None where they are not known before a validation.
        """
        return None

    def step_metrics(self, step: Step, sums: dict[str, float]) -> dict[str, float]:
        """Turns a global step's sums into the metrics that are logged."""
        raise NotImplementedError


def step_of(batch: Batch) -> Step:
    """Gives a training batch's step."""
    assert batch.step is not None, "a training batch names its step"
    return batch.step
