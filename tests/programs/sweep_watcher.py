"""A user's own callback in the jobs of a sweep: notes every step, and does harm at one moment."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from clozekit.tasks.base import TaskModule


class SweepWatcher(Callback):
    """Writes down what each process of a job did, and once sends a signal to the sweep.

    Args:
        folder: Where the notes go to: `steps/RUN.RANK`, a line a step.
        signal_name: The signal to the sweep's process, if any.
        step: Before which step it is sent.
        finished: How many jobs have to have finished before.
        fail_seed: The seed of a run that fails, as long as there is no file `mended`.
    """

    def __init__(
        self,
        folder: str,
        signal_name: str | None = None,
        step: int = 0,
        finished: int = 0,
        fail_seed: int | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.signal_name = signal_name
        self.step = step
        self.finished = finished
        self.fail_seed = fail_seed

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        (name,) = [argument for argument in sys.argv if argument.startswith("name=")]
        run = name.rpartition("/")[2]
        steps = self.folder / "steps"
        steps.mkdir(exist_ok=True)
        note = {
            "step": trainer.global_step,
            "lr": trainer.optimizers[0].param_groups[0]["initial_lr"],
            "seed": trainer.datamodule.seed,  # type: ignore[attr-defined]
            "group": os.environ.get("WANDB_RUN_GROUP"),
        }
        with (steps / f"{run}.{trainer.global_rank}").open("a") as file:
            file.write(json.dumps(note) + "\n")
        if trainer.global_rank == 0:
            if f"seed-{self.fail_seed}" in run and not (self.folder / "mended").exists():
                raise RuntimeError("this one breaks")
            if self.signal_name is not None and trainer.global_step == self.step:
                self._signal_once(trainer)

    def _signal_once(self, trainer: Trainer) -> None:
        marker = self.folder / "signalled"
        if marker.exists() or len(list(self.folder.glob("runs/*/*/results.json"))) < self.finished:
            return
        marker.touch()
        sweep = os.getppid()
        os.kill(sweep, signal.Signals[str(self.signal_name)])
        deadline = time.monotonic() + 30
        while not (os.getppid() != sweep if self.signal_name == "SIGKILL" else _is_asked(trainer)):
            assert time.monotonic() < deadline, "the signal did not come through"
            time.sleep(0.01)


def _is_asked(trainer: Trainer) -> bool:
    module = trainer.lightning_module
    assert isinstance(module, TaskModule)
    return module.stop_requested
