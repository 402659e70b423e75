"""Whether a validation follows a step. If so, checkpoints of the step are saved after it."""

from lightning.pytorch import Trainer


def validation_follows(trainer: Trainer) -> bool:
    """Whether Lightning validates after the current step.

    Returns False for validations at time intervals, which are not known in advance.
    """
    if not trainer.enable_validation:
        return False
    interval = trainer.val_check_batch
    is_due = isinstance(interval, int) and trainer.global_step % interval == 0
    return is_due or trainer.should_stop
