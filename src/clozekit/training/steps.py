"""Steps that depend on nothing but their number, so that a run can go on from any of them."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from clozekit import rng
from clozekit.data.batch import Batch
from clozekit.data.module import StreamDataModule


def datamodule_of(trainer: Trainer) -> StreamDataModule:
    """Gives a Trainer's DataModule."""
    datamodule = getattr(trainer, "datamodule", None)
    assert isinstance(datamodule, StreamDataModule)
    return datamodule


def steps_done(trainer: Trainer) -> int:
    """Gives the number of optimizer steps that are done, over all resumptions."""
    return datamodule_of(trainer).position.step


def ends_step(batch: Batch) -> bool:
    """Whether a micro-batch is the last of its optimizer step on this process."""
    assert batch.step is not None
    return batch.step.is_last


def validation_is_due(trainer: Trainer) -> bool:
    """Whether a validation follows the step that has just ended."""
    micro_batches = steps_done(trainer) * trainer.accumulate_grad_batches
    return micro_batches % int(trainer.val_check_interval) == 0


class StatelessSteps(Callback):
    """Makes a step a function of its number: dropout's seed, the stream's position, the counters.

    It seeds torch before every micro-batch by (seed, step, micro-step, rank). Lightning's own
    counters, which a checkpoint holds in micro-batches of the processes that saved it, are not
    restored but set from the number of steps done. To Lightning all steps have as many
    micro-batches as those of the phase with the most; in a step of fewer, the last one counts for
    those that it misses.

    It is the first of the callbacks, so that a checkpoint that another one saves holds the position
    after the step.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Leaves out the saved counters of Lightning's loops."""
        checkpoint.pop("loops", None)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sets the counters of Lightning's loops from the number of steps done."""
        steps = steps_done(trainer)
        epoch_loop = trainer.fit_loop.epoch_loop
        micro_batches = steps * trainer.accumulate_grad_batches
        for stage in ("ready", "started", "processed", "completed"):
            setattr(epoch_loop.batch_progress.total, stage, micro_batches)
        optimizer_steps = epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
        optimizer_steps.ready = optimizer_steps.completed = steps
        epoch_loop._batches_that_stepped = steps

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Seeds the dropout of a micro-batch, and counts those that its step misses."""
        assert batch.step is not None
        if batch.step.is_last:
            _count(trainer, trainer.accumulate_grad_batches - batch.step.num_micro_steps)
        torch.manual_seed(
            rng.seed_from(
                self.seed,
                rng.Stream.DROPOUT,
                batch.step.index,
                batch.step.micro_step,
                trainer.global_rank,
            )
        )

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Moves the stream's position past a finished step."""
        datamodule_of(trainer).advance(batch)


def _count(trainer: Trainer, micro_batches: int) -> None:
    """Adds micro-batches to the counters by which Lightning steps and validates."""
    progress = trainer.fit_loop.epoch_loop.batch_progress
    for counters in (progress.current, progress.total):
        for stage in ("ready", "started", "processed", "completed"):
            setattr(counters, stage, getattr(counters, stage) + micro_batches)
