"""A user's own callback that makes steps diverge, whoever takes them and how often."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from tests.harness.comparing import same


class Spoiler(Callback):
    """Multiplies a weight at the beginning of steps.

    Args:
        steps: The steps' indices.
        factor: What the token embeddings, which are the decoder too, are multiplied by.
        rank: The process that it happens on.
    """

    def __init__(self, steps: list[int], factor: float, rank: int = 0) -> None:
        self.steps = steps
        self.factor = factor
        self.rank = rank

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch.index in self.steps and trainer.global_rank == self.rank:
            with torch.no_grad():
                pl_module.encoder.embeddings.token_embeddings.weight.mul_(self.factor)  # type: ignore[union-attr, operator]


class Comparer(Callback):
    """Prints whether weights and optimizer are those of a checkpoint when a step begins.

    Args:
        step: The step's index.
        checkpoint: The file.
    """

    def __init__(self, step: int, checkpoint: str) -> None:
        self.step = step
        self.checkpoint = checkpoint

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch.index != self.step:
            return
        content = torch.load(self.checkpoint, weights_only=True)
        moments = trainer.optimizers[0].state_dict()["state"]
        equal = same(dict(pl_module.state_dict()), dict(content["state_dict"]))
        equal = equal and same(moments, content["optimizer_states"][0]["state"])
        print(f"equal to step {content['global_step']}: {equal}", flush=True)
