"""The order of a run's callbacks, which Lightning calls at each hook in turn."""

from lightning.pytorch import Callback, LightningModule, Trainer

from clozekit.training.checkpoints import Checkpoints
from clozekit.training.preemption import Preemption
from clozekit.training.pruning import Pruning


class InOrder(Callback):
    """Lets clozekit save and end a run after all other callbacks.

    Lightning moves its own checkpoints to the end: when the Trainer is made, and again when a task
    adds callbacks. Their state would be saved before they have seen the step, and a run would end
    before they save it.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Sorts the callbacks, of which Lightning now has all."""
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        trainer.callbacks = sorted(callbacks, key=_turn)  # type: ignore[attr-defined]


def _turn(callback: Callback) -> int:
    """Returns the sort key of a callback.

    Checkpoints are saved after the other callbacks have updated their state, and a pruned or
    interrupted run ends after the checkpoint is saved.
    """
    last = (Checkpoints, Pruning, Preemption)
    return next((turn for turn, kind in enumerate(last, 1) if isinstance(callback, kind)), 0)
