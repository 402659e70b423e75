"""Which weights a run ends with, which of them were validated, and which are saved."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.tasks.averaged_weights import averaging_of
from clozekit.training.checkpoints import Checkpoints


class ValidatedWeights(Callback):
    """Remembers the weights of the last validation while training.

    A callback may put others in their place afterwards: an average, or pruned ones.
    """

    def __init__(self) -> None:
        self._of_validation: tuple[int, ...] | None = None

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Looks at the weights after other callbacks have exchanged them for the validation."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking and batch_idx == 0:
            self._of_validation = fingerprint(pl_module)

    def are_validated(self, trainer: Trainer, module: LightningModule) -> bool:
        """Whether the weights are those of the last validation. The same on all processes."""
        # A process may have no batch of a validation, but the first one has.
        return bool(trainer.strategy.broadcast(self._of_validation == fingerprint(module)))


class SavesTrained(Callback):
    """Saves the last step before `WeightAveraging` replaces the weights by their average.

    Args:
        last: The file of the last checkpoint.
    """

    def __init__(self, last: Path) -> None:
        self.last = last

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the step, unless it is saved."""
        if not averaging_of(trainer):
            return
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        checkpoints = [each for each in callbacks if isinstance(each, Checkpoints)]
        for callback in checkpoints:
            if not callback.has_saved(trainer.global_step):
                callback.save_last(trainer)
        if not checkpoints:
            trainer.save_checkpoint(self.last, weights_only=False)


def save_last_weights(trainer: Trainer, last: Path) -> None:
    """Saves the weights at the end of training.

    Where they are an average, the last step is saved with the weights that a longer run goes on
    from, which are no longer there.
    """
    is_saved = False
    if averaging_of(trainer):
        is_saved = last.is_file() and load_checkpoint(last).step == trainer.global_step
        is_saved = trainer.strategy.broadcast(is_saved)
    if not is_saved:
        trainer.save_checkpoint(last, weights_only=False)


def forget_average(trainer: Trainer) -> bool:
    """Lets the checkpoints be evaluated that training has saved, and not what it goes on from.

    Returns:
        Whether there was an average.
    """
    averaging = averaging_of(trainer)
    for callback in averaging:
        callback._average_model = None
    return bool(averaging)


def fingerprint(module: LightningModule) -> tuple[int, ...]:
    """Returns a number for each of the weights, which a change of it changes."""
    return tuple(
        torch.stack([_sum_of_bits(each) for each in module.state_dict().values()]).tolist()
    )


def _sum_of_bits(tensor: Tensor) -> Tensor:
    """Sums the bits as integers, since the versions that torch counts miss a change of `data`."""
    values = tensor.detach().contiguous().reshape(-1)
    size, offset = (n * values.element_size() for n in (values.numel(), values.storage_offset()))
    # Integers of 64 bits are the fastest.
    kind = torch.int64 if size % 8 == 0 and offset % 8 == 0 else torch.uint8
    return values.view(kind).sum(dtype=torch.int64)
