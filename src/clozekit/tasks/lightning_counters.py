"""Lightning's counters of batches and epochs in a run that goes on from a checkpoint."""

from lightning.pytorch import Trainer
from lightning.pytorch.loops.fit_loop import RestartStage, _FitLoop
from lightning.pytorch.loops.progress import _ProcessedTracker
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop


def restore_counters(trainer: Trainer) -> None:
    """Sets the counters to those of an uninterrupted run, from the number of steps done.

    A checkpoint is always between steps. Lightning would try to finish a batch or a validation, and
    in some cases miscount the steps that decide when it logs.
    """
    fit_loop, steps = trainer.fit_loop, trainer.global_step
    epoch_loop = fit_loop.epoch_loop
    was_in_step = epoch_loop.restarted_on_train_batch_end
    epoch_loop.restarting = False
    epoch_loop._batches_that_stepped = steps
    if steps == 0:
        return
    epochs, done = 0, steps
    limit = trainer.limit_train_batches
    if isinstance(limit, int):
        epochs, done = divmod(steps, limit)
        ended = fit_loop.epoch_progress.current
        assert isinstance(ended, _ProcessedTracker)
        has_ended = ended.processed >= epochs and not was_in_step
        if done == 0 and not has_ended:
            # The hooks at the end of the epoch come before the next step.
            epochs, done = epochs - 1, limit
    _begin_in_epoch(fit_loop, epochs, done)


def _begin_in_epoch(fit_loop: _FitLoop, epochs: int, done: int) -> None:
    """Goes on in the epoch after those that are complete, of which so many batches are done."""
    has_begun = done > 0
    for counts in (fit_loop.epoch_progress.total, fit_loop.epoch_progress.current):
        assert isinstance(counts, _ProcessedTracker)
        counts.ready = counts.started = epochs + has_begun
        counts.processed = counts.completed = epochs
    fit_loop._restart_stage = RestartStage.RESTARTED_MID_EPOCH if has_begun else RestartStage.NONE
    _set_batches(fit_loop.epoch_loop, done)


def _set_batches(epoch_loop: _TrainingEpochLoop, done: int) -> None:
    """Sets the batches of the epoch when the loop next begins, which sets them to 0 first."""
    reset = epoch_loop.reset

    def reset_once() -> None:
        epoch_loop.reset = reset  # type: ignore[method-assign]
        reset()
        counts = epoch_loop.batch_progress.current
        assert isinstance(counts, _ProcessedTracker)
        counts.ready = counts.started = counts.processed = counts.completed = done

    epoch_loop.reset = reset_once  # type: ignore[method-assign]
