"""The base class of all tasks: one optimizer step, from its micro-batches to its metrics."""

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, Literal, TypeVar

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from clozekit import rng
from clozekit.config.schedule import ScheduleConfig
from clozekit.data.batch import Batch
from clozekit.data.order import Position
from clozekit.data.step import StepBatch
from clozekit.models.encoder import EncoderOutput
from clozekit.models.encoder_protocol import EncoderProtocol
from clozekit.models.encoder_with_heads import EncoderWithHeads
from clozekit.optim.clipping import GradientClipping
from clozekit.optim.gradients import add_missing_gradients, unscale_gradients
from clozekit.optim.groups import Groups, training_groups
from clozekit.optim.schedules import make_schedule
from clozekit.tasks.averaged_weights import train_without_average
from clozekit.tasks.divergence import DivergenceGuard
from clozekit.tasks.lightning_counters import restore_counters
from clozekit.tasks.step_sums import StepSums, over_processes

BatchT = TypeVar("BatchT", bound=Batch)


class TaskModule(LightningModule, Generic[BatchT]):
    """A model and its training. Tasks add their loss and metrics.

    A training batch is one optimizer step, so every counter of Lightning counts steps. A step
    depends only on its index: the stream determines its samples, and dropout is seeded with (seed,
    step, micro-batch, process). So a run that is killed and resumed equals an uninterrupted run.

    Args:
        optimizer: Makes the optimizer from parameter groups; None for a module that is not trained.
        schedule: The learning-rate schedule.
        seed: The seed of dropout.
        max_steps: The optimizer step at which the schedule ends.
        weight_decay: The weight decay of all parameters except biases and norms.
        layerwise_lr_decay: The factor of the learning rate from each block to the block below it;
            see `with_layerwise_decay`.
        clipping: How gradients are clipped.
        log_every_n_steps: The number of steps between logged steps. Metrics of other steps are not
            computed.
        guard: Detects steps that diverge.

    Attributes:
        model: The encoder and the task's heads.
        evaluates_best: Whether the final evaluation uses the best checkpoint, not the last weights.
        monitor: The validation metric that checkpoints and early stopping use.
        monitor_mode: Whether its smallest (`min`) or its largest (`max`) value is the best.
        stop_requested: Whether this process received a signal to end the run.
        stop_agreed: Whether any process received such a signal, as of the last step. The same on
            all processes.
        is_updating: Whether weights, schedule and position may be of different steps.
        logged: The metrics of the last step that was logged.
        keeps_gradients: Whether gradients are set to zero after a step instead of None; see
            `add_missing_gradients`.
    """

    model: EncoderWithHeads
    evaluates_best = True
    monitor = "validation/loss"
    monitor_mode: Literal["min", "max"] = "min"

    def __init__(
        self,
        *,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer] | None = None,
        schedule: ScheduleConfig | None = None,
        seed: int = 0,
        max_steps: int = 1,
        weight_decay: float = 0.0,
        layerwise_lr_decay: float = 1.0,
        clipping: GradientClipping | None = None,
        log_every_n_steps: int = 10,
        guard: DivergenceGuard | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.make_optimizer = optimizer
        self.schedule = schedule or ScheduleConfig()
        self.seed = seed
        self.max_steps = max_steps
        self.weight_decay = weight_decay
        self.layerwise_lr_decay = layerwise_lr_decay
        self.clipping = clipping or GradientClipping()
        self.log_every_n_steps = log_every_n_steps
        self.guard = guard or DivergenceGuard()
        self.stop_requested = False
        self.stop_agreed = False
        self.is_updating = False
        self.logged: dict[str, float] = {}
        self.keeps_gradients = False
        self._step: StepBatch[BatchT] | None = None
        self._losses: list[Tensor] = []
        self._sums = StepSums()
        self._state: dict[str, float] = {}
        self._totals: dict[str, float] = {}

    @property
    def encoder(self) -> EncoderProtocol:
        """The encoder that all tasks share."""
        return self.model.encoder

    def encode(self, batch: Batch) -> EncoderOutput:
        """Computes the encoder's output on a packed batch."""
        output: EncoderOutput = self.model(batch.input_ids, batch.token_type_ids, batch.packing)
        return output

    @abstractmethod
    def micro_loss(self, batch: BatchT, step: StepBatch[BatchT]) -> Tensor:
        """Computes a micro-batch's share of the step's loss.

        The step's loss is the sum of the shares of all micro-batches on all processes. A share is
        the sum over the micro-batch's targets, divided by the number of targets in the step.
        """

    @abstractmethod
    def step_metrics(self, step: StepBatch[BatchT], sums: dict[str, float]) -> dict[str, float]:
        """Computes the metrics to log from the sums that `micro_loss` added over the step."""

    def training_step(self, step: StepBatch[BatchT], batch_idx: int) -> None:
        """Takes one optimizer step: forward and backward of every micro-batch, then the update."""
        self._step, self._losses, self._sums = step, [], StepSums()
        if self.keeps_gradients:
            add_missing_gradients(self.parameters())
        last = len(step.micro_batches) - 1
        for number, batch in enumerate(step.micro_batches):
            self._seed_dropout(step.index, number)
            loss = self.micro_loss(batch, step)
            with self._outside_autocast(), self._gradient_sync(number == last):
                # DDP averages the gradients of the processes, but their sum is needed.
                self.manual_backward(loss * self.trainer.world_size)
            self._losses.append(loss.detach())

        optimizer, scheduler = self.optimizers(), self.lr_schedulers()
        assert isinstance(optimizer, LightningOptimizer) and isinstance(scheduler, LRScheduler)
        with self._outside_autocast():
            scaler = getattr(self.trainer.precision_plugin, "scaler", None)
            unscale_gradients(scaler, optimizer.optimizer)
            optimizer.step()  # calls `on_before_optimizer_step`, which clips and checks
        optimizer.zero_grad(set_to_none=not self.keeps_gradients)
        scheduler.step()

        self._advance(step)
        if self.is_logged(step):
            self._log(step)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clips gradients and checks the step, after mixed precision has unscaled the gradients.

        `over_processes` is the only wait for the device, and the only reduction besides that of
        the gradients.

        Raises:
            DivergenceError: The step diverges and the run has to stop.
        """
        assert self._step is not None
        grad_norm = self.clipping.clip(optimizer)
        state = {
            # The same on all processes; the sum is divided by their number below.
            "grad_norm": grad_norm,
            "loss": torch.stack(self._losses).sum(),
            "stop": torch.full_like(grad_norm, float(self.stop_requested)),
        }
        self._state, self._totals = over_processes(state, self._sums.values)
        self._state["grad_norm"] /= self.trainer.world_size
        self._state["learning_rate"] = max(group["lr"] for group in optimizer.param_groups)
        self.stop_agreed = self._state.pop("stop") > 0
        self.guard.judge(
            self,
            optimizer,
            self._step,
            self._losses,
            loss=self._state["loss"],
            grad_norm=self._state["grad_norm"],
        )
        self.is_updating = True

    def on_train_start(self) -> None:
        """Sets Lightning's counters and the learning rate from the number of steps done."""
        restore_counters(self.trainer)
        # `max_steps`, and with it the schedule, may have changed since the checkpoint.
        factor = make_schedule(self.schedule, self.max_steps)(self.trainer.global_step)
        for group in self._optimizer().param_groups:
            group["lr"] = group["initial_lr"] * factor

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Makes the optimizer and the schedule, which advances with every optimizer step."""
        assert self.make_optimizer is not None, "training needs an optimizer"
        optimizer = self.make_optimizer(self.optimizer_groups())
        for group in optimizer.param_groups:
            group["lr"] *= group.get("lr_scale", 1.0)
        scheduler = LambdaLR(optimizer, make_schedule(self.schedule, self.max_steps))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def optimizer_groups(self) -> Groups:
        """Returns the groups of trainable parameters for the optimizer."""
        return training_groups(
            self,
            self.encoder,
            self.weight_decay,
            self.layerwise_lr_decay,
            splits_matrices=getattr(self.make_optimizer, "use_muon_groups", False),
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the number of rollbacks."""
        checkpoint["rollbacks"] = self.guard.rollbacks

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the number of rollbacks; converts the module for double precision.

        Training goes on from the weights that were trained, and not from their average.

        Lightning loads weights before it converts the module, which would round the weights.
        """
        if self.trainer.precision == "64-true":
            self.double()
        if self.trainer.state.fn == TrainerFn.FITTING:
            train_without_average(self.trainer, checkpoint)
        self.guard.rollbacks = checkpoint.get("rollbacks", 0)

    def is_logged(self, step: StepBatch[BatchT]) -> bool:
        """Whether the step's metrics are logged. For other steps they need not be computed."""
        return (step.index + 1) % self.log_every_n_steps == 0

    def add_to_step(self, **sums: Tensor) -> None:
        """Adds sums over a micro-batch to the sums of the step."""
        self._sums.add(sums)

    def log_evaluation(self, metrics: dict[str, Any]) -> None:
        """Logs a split's metrics with the number of steps done and the epoch of the data.

        Lightning's step is one less, and its epoch is a different one. The validation of the best
        checkpoint is not logged again: it is already in the history, at the checkpoint's step.
        """
        self.log_dict(metrics, logger=False)
        trainer = self.trainer
        if trainer.sanity_checking:
            return
        if self.evaluates_best and trainer.state.fn == TrainerFn.VALIDATING:
            return
        position = getattr(getattr(trainer, "datamodule", None), "position", Position())
        row = {name: float(value) for name, value in metrics.items()}
        for logger in trainer.loggers:
            logger.log_metrics({**row, "epoch": float(position.epoch)}, step=trainer.global_step)

    def validation_metrics_and_modes(self) -> dict[str, Literal["min", "max"] | None] | None:
        """Returns the names of the validation metrics, each with the mode of its best value.

        Returns:
            `min`, `max` or None for each name; None instead of a dict if the names are not known
            before a validation.
        """
        return None

    def _seed_dropout(self, step: int, micro_step: int) -> None:
        key = (self.seed, rng.Stream.DROPOUT, step, micro_step, self.global_rank)
        torch.manual_seed(rng.seed_from(*key))

    def _outside_autocast(self) -> AbstractContextManager[Any]:
        """Computes in the dtypes of the tensors; backward is not meant to run under autocast."""
        return torch.autocast(self.device.type, enabled=False)

    def _gradient_sync(self, is_last: bool) -> AbstractContextManager[Any]:
        """Synchronises gradients only in the backward of the last micro-batch."""
        strategy = self.trainer.strategy
        if is_last or not isinstance(strategy, ParallelStrategy):
            return nullcontext()
        return strategy.block_backward_sync()

    def _advance(self, step: StepBatch[BatchT]) -> None:
        """Moves the stream's position past the step, before a callback saves a checkpoint."""
        datamodule: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        datamodule.position = step.next_position
        self.is_updating = False

    def _log(self, step: StepBatch[BatchT]) -> None:
        """Logs for callbacks and progress bars; `StepHistory` writes to the loggers."""
        state = {name: self._state[name] for name in ("grad_norm", "learning_rate")}
        metrics = {
            **self.step_metrics(step, self._totals),
            **state,
            "epoch": step.next_position.epoch,
        }
        if step.phase is not None:
            metrics["phase"] = step.phase + 1
        self.logged = {f"train/{name}": value for name, value in metrics.items()}
        for name, value in self.logged.items():
            # Lightning would write the row after the checkpoints of this step are saved. It would
            # be missing if the run is killed in between.
            logged = torch.tensor(value, dtype=torch.float64)
            self.log(name, logged, prog_bar=name.endswith("loss"), logger=False, on_epoch=False)

    def _optimizer(self) -> Optimizer:
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, Optimizer)
        return optimizer
