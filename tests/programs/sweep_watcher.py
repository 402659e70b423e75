"""A user's own callback in the jobs of a sweep: notes every step, and does harm at one moment."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from process_state import is_forked, process_state

from clozekit.tasks.base import TaskModule


class SweepWatcher(Callback):
    """Writes down what each process of a job did and is, and once sends a signal to the sweep.

    Args:
        folder: Where the notes go to: `steps/RUN.RANK`, a line a step, and `states/RUN`.
        signal_name: The signal to the sweep's process, if any.
        step: Before which step it is sent.
        finished: How many jobs have to have finished before.
        fail_seed: The seed of a run that fails, as long as there is no file `mended`.
        kill_seed: The seed of a run that is killed, as long as there is no file `mended`.
        loses_server: Whether the process that forks jobs is killed before the signal is sent.
    """

    def __init__(
        self,
        folder: str,
        signal_name: str | None = None,
        step: int = 0,
        finished: int = 0,
        fail_seed: int | None = None,
        kill_seed: int | None = None,
        loses_server: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.signal_name = signal_name
        self.step = step
        self.finished = finished
        self.fail_seed = fail_seed
        self.kill_seed = kill_seed
        self.loses_server = loses_server

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
            "is_forked": is_forked(),
            "group": os.environ.get("WANDB_RUN_GROUP"),
        }
        with (steps / f"{run}.{trainer.global_rank}").open("a") as file:
            file.write(json.dumps(note) + "\n")
        if trainer.global_rank == 0:
            (self.folder / "states").mkdir(exist_ok=True)
            (self.folder / "states" / run).write_text(json.dumps(process_state()))
            if not (self.folder / "mended").exists():
                if f"seed-{self.fail_seed}" in run:
                    raise RuntimeError("this one breaks")
                if f"seed-{self.kill_seed}" in run:
                    signal.raise_signal(signal.SIGKILL)
            if self.signal_name is not None and trainer.global_step == self.step:
                self._signal_once(trainer)

    def _signal_once(self, trainer: Trainer) -> None:
        marker = self.folder / "signalled"
        if marker.exists() or len(list(self.folder.glob("runs/*/*/results.json"))) < self.finished:
            return
        marker.touch()
        sweep = os.getppid()
        if self.loses_server:
            (server,) = fork_servers(sweep)
            os.kill(server, signal.SIGKILL)
        os.kill(sweep, signal.Signals[str(self.signal_name)])
        deadline = time.monotonic() + 30
        while not (os.getppid() != sweep if self.signal_name == "SIGKILL" else _is_asked(trainer)):
            assert time.monotonic() < deadline, "the signal did not come through"
            time.sleep(0.01)


def fork_servers(parent: int) -> list[int]:
    """The processes that fork jobs for a sweep."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"fork_server_process" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def _is_asked(trainer: Trainer) -> bool:
    module = trainer.lightning_module
    assert isinstance(module, TaskModule)
    return module.stop_requested
