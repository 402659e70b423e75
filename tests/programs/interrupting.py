"""A user's callbacks and task that count and log, and callbacks that interrupt a run."""

import json
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from clozekit.tasks.pretraining import PretrainingModule


class Stopping(Callback):
    """Asks the run to end after a step, as SIGTERM does.

    Args:
        step: The number of steps done when that step begins.
    """

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        pl_module.stop_requested = trainer.global_step == self.step


class Killing(Callback):
    """Ends the run at once before a step, so that nothing more is saved.

    Args:
        step: The number of steps done.
    """

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.step:
            raise SystemExit(137)


class KillingAtSave(Killing):
    """Ends the run at once after the checkpoint of a step, before the step itself has ended."""

    on_train_batch_start = Callback.on_train_batch_start

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.step:
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if type(callback).__name__ == "Checkpoints":
                    callback.save_last(trainer)
            raise SystemExit(137)


class Counting(Callback):
    """Logs what it counts."""

    def __init__(self) -> None:
        self.steps = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.steps += 1
        pl_module.log("my/steps", float(self.steps))

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.steps = state_dict["steps"]


class CountingTask(PretrainingModule):
    """Logs in a hook of its own."""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.log("my/step", float(self.trainer.global_step))


class Epochs(Callback):
    """Writes down Lightning's batches and the ends of its epochs, a line each.

    Args:
        file: The file.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._write("batch", trainer, batch_idx)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write("end", trainer, None)

    def _write(self, kind: str, trainer: Trainer, number: int | None) -> None:
        with self.file.open("a") as file:
            line = [kind, trainer.global_step, trainer.current_epoch, number]
            file.write(json.dumps(line) + "\n")
