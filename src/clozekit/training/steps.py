"""Steps that depend on nothing but their number: dropout's seed and the place in the stream."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from clozekit import rng
from clozekit.data.batch import Batch
from clozekit.data.module import StreamDataModule


class StatelessSteps(Callback):
    """Seeds torch before every micro-batch by (seed, step, micro-step, rank), and counts steps.

    It is the first of the callbacks, so that a checkpoint that another one saves holds the position
    after the step.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Seeds the dropout of a micro-batch."""
        assert batch.step is not None
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
        datamodule = getattr(trainer, "datamodule", None)
        assert isinstance(datamodule, StreamDataModule)
        datamodule.advance(batch)
