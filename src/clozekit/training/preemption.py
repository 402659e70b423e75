"""SIGTERM, SIGHUP and SIGINT: save a checkpoint at the next step and exit with `PREEMPTED`."""

import signal
import threading
from types import FrameType
from typing import Any, NoReturn

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.trainer import call

from clozekit.data.step import StepBatch
from clozekit.exit_codes import PREEMPTED, PRUNED, TERMINATED
from clozekit.output.standard_streams import write_unbuffered
from clozekit.processes.signals import stop_signals
from clozekit.tasks.base import TaskModule
from clozekit.training.checkpoints import Checkpoints
from clozekit.training.validation import validation_follows


class Preemption(Callback):
    """Saves and ends the run after the next optimizer step on SIGTERM, SIGHUP or SIGINT.

    The signal handler only sets a flag: it may run inside a step or on one process only. A signal
    to one process ends all, because they share the flag at every step. A second SIGINT ends the
    run immediately; other signals while the run ends change nothing.

    Attributes:
        is_agreed: Whether the run ends after this step. The same on all processes.
    """

    def __init__(self) -> None:
        self.is_agreed = False
        self._module: TaskModule[Any] | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replaces Lightning's signal handlers, which run collectives."""
        assert isinstance(pl_module, TaskModule)
        self._module = pl_module
        # Lightning's processes agree on its own handlers' signals before every step, for which the
        # host waits for the device. The step's totals have that flag already.
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = _agree_on_nothing  # type: ignore[method-assign]
        if threading.current_thread() is not threading.main_thread():
            return  # Python allows signal handlers in the main thread only
        self._previous = {
            number: signal.signal(number, self._on_stop_signal) for number in stop_signals()
        }
        self._previous[signal.SIGINT] = signal.signal(signal.SIGINT, self._on_sigint)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restores the previous signal handlers, unless the process ends because of a signal."""
        if self.is_agreed:
            return
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: StepBatch[Any],
        batch_idx: int,
    ) -> None:
        """Ends the run after the step if the processes agreed, unless a validation follows."""
        assert isinstance(pl_module, TaskModule)
        self.is_agreed = pl_module.stop_agreed
        if self.is_agreed and not validation_follows(trainer):
            _end_batch(trainer, outputs, batch, batch_idx)
            save_and_exit(trainer, PREEMPTED)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends the run after the validation of the step at which the processes agreed."""
        if self.is_agreed:
            save_and_exit(trainer, PREEMPTED)

    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:
        self._request_stop()

    def _on_sigint(self, number: int, frame: FrameType | None) -> None:
        if self._module is not None and self._module.stop_requested:
            raise KeyboardInterrupt
        self._request_stop()
        # print is not reentrant, and the signal may arrive inside a print.
        write_unbuffered(1, "saving at the next step; Ctrl-C again to stop at once\n")

    def _request_stop(self) -> None:
        """Sets the flag of the task, whose next step shares it with the other processes."""
        if self._module is not None:
            self._module.stop_requested = True


def save_and_exit(trainer: Trainer, code: int) -> NoReturn:
    """Saves the step, unless it is saved, and ends the process. All processes have to call it.

    Raises:
        SystemExit: Always, with the code; without `Checkpoints` with `TERMINATED`, because a
            cluster would start a run again and again that begins anew each time.
    """
    saving = [each for each in trainer.callbacks if isinstance(each, Checkpoints)]  # type: ignore[attr-defined]
    for callback in saving:
        callback.save_preempted(trainer)
    trainer.strategy.barrier("preemption")
    if not saving and code == PREEMPTED:
        code, told = TERMINATED, "is not saved, because there is no callbacks.checkpoints"
    else:
        told = "is saved; resume=auto goes on from it"
    if trainer.is_global_zero and code != PRUNED:
        # Without a buffer, because after SIGHUP there may be no terminal.
        write_unbuffered(1, f"step {trainer.global_step} {told}\n")
    # Lightning kills the first process if a process that it started exits with a code other
    # than 0. Under torchrun and Slurm this does not apply, and all processes use the same code.
    was_started_by_lightning = (
        isinstance(trainer.strategy, ParallelStrategy)
        and isinstance(trainer.strategy.cluster_environment, LightningEnvironment)
        and trainer.local_rank > 0
    )
    raise SystemExit(0 if was_started_by_lightning else code)


def _end_batch(trainer: Trainer, *arguments: Any) -> None:
    """Does what Lightning does with a batch after the callbacks, so that what they log is kept."""
    call._call_lightning_module_hook(trainer, "on_train_batch_end", *arguments)
    trainer._logger_connector.on_batch_end()
    trainer._logger_connector.update_train_step_metrics()


def _agree_on_nothing() -> None:
    """Replaces the broadcast of SIGTERM that Lightning makes at every step."""
