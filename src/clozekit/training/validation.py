"""Whether a validation follows a step: what is saved then is saved after it."""

from lightning.pytorch import Trainer


def validation_follows(trainer: Trainer) -> bool:
    """Whether Lightning validates after the step that has just ended.

    A validation that goes by the clock is not known beforehand.
    """
    if not trainer.enable_validation:
        return False
    interval = trainer.val_check_batch
    is_due = isinstance(interval, int) and trainer.global_step % interval == 0
    return is_due or trainer.should_stop
