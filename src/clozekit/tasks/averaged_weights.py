"""The weights that are trained, where Lightning's `WeightAveraging` keeps their average too.

Its checkpoints have the average as `state_dict`, which is what the verbs use, and the weights that
training goes on from beside it.
"""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging

TRAINED = "current_model_state"
"""The part of a checkpoint with the weights that are trained, if `state_dict` is their average."""


def training_weights(checkpoint: Mapping[str, Any]) -> Any:
    """Returns the weights of a checkpoint that its optimizer state belongs to."""
    return checkpoint.get(TRAINED, checkpoint["state_dict"])


def averaging_of(trainer: Trainer) -> list[WeightAveraging]:
    """Returns the callbacks that average the weights."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, WeightAveraging)]


def train_without_average(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Lets a run that averages nothing begin at the weights that a checkpoint's run trained."""
    if not averaging_of(trainer):
        checkpoint["state_dict"] = training_weights(checkpoint)


def restore_weights(module: LightningModule, checkpoint: dict[str, Any]) -> None:
    """Takes the weights back to those of a checkpoint, and the average with them."""
    module.load_state_dict(training_weights(checkpoint))
    for callback in averaging_of(module.trainer):
        callback.on_load_checkpoint(module.trainer, module, checkpoint)
        state = checkpoint["callbacks"].get(callback.state_key)
        if state is not None:
            callback.load_state_dict(state)
