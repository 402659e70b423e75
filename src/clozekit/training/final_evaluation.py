"""The evaluation at the end of a run, whose metrics are its results."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from clozekit.data.module import StreamDataModule
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.runs.folder import RunFolder
from clozekit.tasks.base import TaskModule
from clozekit.training.last_weights import ValidatedWeights, forget_average


def evaluate(
    trainer: Trainer, module: TaskModule[Any], datamodule: StreamDataModule, folder: RunFolder
) -> dict[str, float]:
    """Evaluates the best checkpoint or the last weights on the validation and test splits."""
    is_averaged = forget_average(trainer)
    checkpoint: Path | None = None
    if module.evaluates_best:
        best = folder.best_checkpoint
        checkpoint = best if best.exists() else folder.last_checkpoint
    elif is_averaged:
        # A run that is resumed after its last step has the weights that were trained.
        checkpoint = folder.last_checkpoint
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    is_validated = all(
        callback.are_validated(trainer, module)
        for callback in callbacks
        if isinstance(callback, ValidatedWeights)
    )
    # Whether the weights in memory are those of the checkpoint.
    is_at_hand = checkpoint is None or load_checkpoint(checkpoint).step == trainer.global_step
    if trainer.limit_val_batches and not (is_validated and is_at_hand):
        trainer.validate(
            module, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True, verbose=False
        )
    results = evaluated_metrics(trainer)
    if "test" in datamodule.sources:
        trainer.test(
            module, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True, verbose=False
        )
        results |= evaluated_metrics(trainer)
    return results


def evaluated_metrics(trainer: Trainer) -> dict[str, float]:
    """Returns the last metrics of the splits that are evaluated."""
    return {
        name: float(value)
        for name, value in trainer.callback_metrics.items()
        if name.startswith(("validation/", "test/"))
    }
