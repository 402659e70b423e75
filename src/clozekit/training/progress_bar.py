"""The progress bar of training."""

import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from clozekit.output.console import PlainConsole

SECONDS_BETWEEN_LINES = 20.0
"""The interval of progress lines if the output is not a terminal."""

SHOWN = {
    "train/phase": "phase {:.0f}",
    "train/mlm_loss": "mlm {:.3f}",
    "train/nsp_loss": "nsp {:.3f}",
    "train/sop_loss": "sop {:.3f}",
    "train/loss": "loss {:.3f}",
    "train/accuracy": "accuracy {:.3f}",
    "train/tokens_per_second": "{:,.0f} tokens/s",
}


class TrainingProgress(ProgressBar):
    """A progress bar of optimizer steps, with losses, tokens per second and the remaining time.

    If the output is not a terminal, it prints a line every 20 seconds and after each validation.
    """

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._console = PlainConsole(file=sys.stdout)
        self._progress: Progress | None = None
        self._last_line = 0.0

    def disable(self) -> None:
        """Hides progress. Lightning calls it on all processes except the first."""
        self._enabled = False

    def enable(self) -> None:
        """Shows progress again."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the bar."""
        self._last_line = time.monotonic()
        if self._enabled and self._console.is_terminal:
            self._progress = Progress(
                TextColumn("step"),
                MofNCompleteColumn(),
                BarColumn(),
                TextColumn("{task.fields[metrics]}", markup=False),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._progress.start()
            self._progress.add_task("train", total=trainer.max_steps, metrics="")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Updates the bar, or prints a line if one is due."""
        if not self._enabled:
            return
        if self._progress is not None:
            self._progress.update(
                self._progress.task_ids[0], completed=trainer.global_step, metrics=_metrics(trainer)
            )
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self._print(f"step {trainer.global_step}/{trainer.max_steps}  {_metrics(trainer)}")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints the metrics of the validation split."""
        if not self._enabled or trainer.sanity_checking:
            return
        metrics = {
            name.removeprefix("validation/"): float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith("validation/")
        }
        shown = "  ".join(f"{name} {value:.4f}" for name, value in sorted(metrics.items()))
        self._print(f"validation at step {trainer.global_step}: {shown}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Removes the bar."""
        self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Stops the bar, so that the error is printed below it."""
        self._stop()

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _metrics(trainer: Trainer) -> str:
    latest = trainer.callback_metrics
    return "  ".join(
        form.format(float(latest[key])) for key, form in SHOWN.items() if key in latest
    )
