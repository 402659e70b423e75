"""Saves checkpoints at regular steps or minutes, and the best ones."""

import time
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from clozekit.config.callbacks import check_mode
from clozekit.data.step import StepBatch
from clozekit.errors import ConfigError, DataError
from clozekit.files import leftovers, link_atomically
from clozekit.output.display import say
from clozekit.tasks.averaged_weights import averaging_of
from clozekit.tasks.base import TaskModule
from clozekit.training.failures import leaves_weights_good
from clozekit.training.mirror import Mirror
from clozekit.training.monitoring import AUTO, monitored
from clozekit.training.validation import validation_follows

PREEMPTED_FILE = "preempted.ckpt"


class Checkpoints(Callback):
    """Keeps the last checkpoint and the best ones.

    A checkpoint has the state after an optimizer step and, if one is due, after the validation at
    that step. So a resumed run always starts with a new step.

    Args:
        dirpath: The folder of the checkpoints, which is `checkpoints` in the run's folder.
        every_n_steps: Number of optimizer steps between saves of `last.ckpt`; None to disable.
        every_n_minutes: Minutes between saves of `last.ckpt`; None to disable.
        monitor: The validation metric that selects the best checkpoints; `auto` for the task's
            default; None to keep no best checkpoint.
        mode: Whether the smallest (`min`) or the largest (`max`) value is the best; `auto` for the
            task's default.
        save_top_k: The number of best checkpoints to keep as `step-N.ckpt`; the best one is also
            `best.ckpt`. -1 keeps the checkpoint of every validation, 0 keeps none.
        mirror: The URL in an object store to which the run is copied after each save; None for no
            copy. On another machine, `resume=auto` restores the run from it.
    """

    def __init__(
        self,
        dirpath: str,
        every_n_steps: int | None = 500,
        every_n_minutes: float | None = None,
        monitor: str | None = AUTO,
        mode: Literal["min", "max", "auto"] = AUTO,
        save_top_k: int = 1,
        mirror: str | None = None,
    ) -> None:
        check_mode(monitor, mode)
        self.dirpath = Path(dirpath)
        self.every_n_steps = every_n_steps
        self.every_n_minutes = every_n_minutes
        self.monitor = monitor
        self.mode = mode
        self.save_top_k = save_top_k
        self.mirror_url = mirror
        self.mirror: Mirror | None = None
        self.scores: dict[int, float] = {}
        self.seconds = 0.0
        self._last_save = time.monotonic()
        self._saved: tuple[int, bool] | None = None
        self._first_step: int | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Replaces `auto` with the task's metric and mode."""
        self.monitor, self.mode = monitored(pl_module, self.monitor, self.mode)

    def state_dict(self) -> dict[str, Any]:
        """Returns the best steps and their scores."""
        return {"monitor": self.monitor, "mode": self.mode, "scores": dict(self.scores)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the best steps, unless another metric is monitored now."""
        if (state_dict["monitor"], state_dict["mode"]) == (self.monitor, self.mode):
            self.scores = dict(state_dict["scores"])

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Removes what a kill left half written.

        Lightning does not call `on_train_start` for a run that is resumed after its last step.
        """
        if trainer.is_global_zero:
            for half_written in leftovers(self.dirpath, r".*\.ckpt"):
                half_written.unlink()
            if self.mirror is not None:
                self.mirror.begin()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Removes checkpoints that a killed run had saved but not counted as its best."""
        self._first_step = trainer.global_step
        # A run resumed in another folder has none of the best checkpoints in its own folder.
        found = {s: score for s, score in self.scores.items() if self._of_step(s).exists()}
        self.scores = trainer.strategy.broadcast(found)
        if not trainer.is_global_zero:
            return
        if self.scores:
            link_atomically(self._of_step(self._ranked()[0]), self.dirpath / "best.ckpt")
            for path in self.dirpath.glob("step-*.ckpt"):
                if path not in map(self._of_step, self.scores):
                    path.unlink()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: StepBatch[Any],
        batch_idx: int,
    ) -> None:
        """Saves if the step is due, unless a validation follows, which saves after it."""
        if self._is_due(trainer) and not validation_follows(trainer):
            self.save_last(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the step if it is one of the best, then `last.ckpt` with the updated scores."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        if self.monitor is not None:
            self._keep_if_best(trainer)
        self.save_last(trainer, is_validated=True)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Removes the checkpoint of an interruption; the final checkpoint is saved next.

        Lightning does not call `on_train_end` for a run that is resumed after its last step.
        """
        if trainer.is_global_zero:
            (self.dirpath / PREEMPTED_FILE).unlink(missing_ok=True)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Saves the last complete step to `last.ckpt` before an error ends the run.

        The error may be anywhere: in a user's callback, in a validation, in a logger.
        """
        if not (leaves_weights_good(exception) and self._has_unsaved_step(trainer, pl_module)):
            return
        last = self.dirpath / "last.ckpt"
        try:
            # `trainer.save_checkpoint` would wait for the other processes, which may not come.
            checkpoint = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
            _forget_begun_step(checkpoint)
            trainer.strategy.save_checkpoint(checkpoint, last)
        except Exception:
            return  # The error that ends the run is the one to report.
        say(f"saved step {trainer.global_step} to {last} before the error")
        self._copy(trainer)

    def _has_unsaved_step(self, trainer: Trainer, module: LightningModule) -> bool:
        assert isinstance(module, TaskModule)
        if trainer.validating and averaging_of(trainer):
            # The average is in the place of the weights.
            return False
        return (
            trainer.is_global_zero
            and trainer.state.fn == TrainerFn.FITTING
            and not module.is_updating
            and self._first_step is not None
            and trainer.global_step > self._first_step
            and not self.has_saved(trainer.global_step)
        )

    def has_saved(self, step: int) -> bool:
        """Whether a step is in `last.ckpt`."""
        return self._saved is not None and self._saved[0] == step

    def save_last(self, trainer: Trainer, is_validated: bool = False) -> None:
        """Saves `last.ckpt`, unless it already has this step.

        Args:
            trainer: The Trainer.
            is_validated: Whether the checkpoint includes the result of the step's validation.
        """
        if self._saved != (trainer.global_step, is_validated):
            self._save(trainer, self.dirpath / "last.ckpt")
            self._saved = (trainer.global_step, is_validated)
            if trainer.is_global_zero:
                (self.dirpath / PREEMPTED_FILE).unlink(missing_ok=True)
            self._copy(trainer)
            self._last_save = time.monotonic()

    def save_preempted(self, trainer: Trainer) -> None:
        """Saves a step that is not due to its own file, without replacing `last.ckpt`.

        A rollback loads `last.ckpt`, which must be the same with and without an interruption.
        Waits for the copy in the mirror: the machine may be gone soon.
        """
        if not self.has_saved(trainer.global_step):
            self._save(trainer, self.dirpath / PREEMPTED_FILE)
            self._copy(trainer)
        if self.mirror is not None and trainer.is_global_zero:
            self.mirror.finish()

    def _is_due(self, trainer: Trainer) -> bool:
        due = self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0
        if self.every_n_minutes is not None:
            waited = time.monotonic() - self._last_save >= 60 * self.every_n_minutes
            # The clocks of processes differ; use that of the first process.
            due = trainer.strategy.broadcast(waited) or due
        return due

    def _keep_if_best(self, trainer: Trainer) -> None:
        assert self.monitor is not None
        if self.monitor not in trainer.callback_metrics:
            known = ", ".join(sorted(trainer.callback_metrics))
            raise ConfigError(
                f"callbacks.checkpoints.monitor={self.monitor} is not a validation metric; the "
                f"metrics are {known}"
            )
        step = trainer.global_step
        self.scores[step] = float(trainer.callback_metrics[self.monitor])
        ranked = self._ranked()
        num_kept = len(ranked) if self.save_top_k == -1 else self.save_top_k
        self.scores = {kept: self.scores[kept] for kept in sorted(ranked[:num_kept])}
        if step in self.scores:
            self._save(trainer, self._of_step(step))
            if trainer.is_global_zero:
                if ranked[0] == step:
                    link_atomically(self._of_step(step), self.dirpath / "best.ckpt")
                for dropped in ranked[num_kept:]:
                    self._of_step(dropped).unlink(missing_ok=True)

    def _ranked(self) -> list[int]:
        return sorted(self.scores, key=lambda step: (self._badness(self.scores[step]), step))

    def _badness(self, score: float) -> float:
        if score != score:
            return float("inf")
        return score if self.mode == "min" else -score

    def _of_step(self, step: int) -> Path:
        return self.dirpath / f"step-{step}.ckpt"

    def _copy(self, trainer: Trainer) -> None:
        """Begins to copy the run to the mirror, if there is one."""
        if self.mirror is not None and trainer.is_global_zero:
            self.mirror.copy(trainer.global_step)

    def _save(self, trainer: Trainer, path: Path) -> None:
        began = time.perf_counter()
        trainer.save_checkpoint(path, weights_only=False)
        self.seconds += time.perf_counter() - began


def finish_mirror(trainer: Trainer, is_complete: bool) -> None:
    """Waits until the run is copied to its mirror, if it has one.

    Args:
        trainer: The Trainer.
        is_complete: Whether the run has ended well. Then its final state is copied too.

    Raises:
        DataError: The final state could not be copied.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Checkpoints) and callback.mirror and trainer.is_global_zero:
            if is_complete:
                callback.mirror.copy(trainer.global_step)
            error = callback.mirror.finish()
            if error is not None and is_complete:
                raise DataError(f"{error}; run the command again with resume=auto to copy it")


def _forget_begun_step(checkpoint: dict[str, Any]) -> None:
    """Takes a step that has begun, but not updated the weights, out of Lightning's counters."""
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    begun = progress["total"]["ready"] - checkpoint["global_step"]
    for counts in (progress["total"], progress["current"]):
        steps = counts["ready"] - begun
        counts |= {"ready": steps, "started": steps, "processed": steps}
