"""Ends a run of a sweep that is pruned: it asks the sweep after each validation."""

import time
from enum import IntEnum
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from clozekit.data.step import StepBatch
from clozekit.exit_codes import PREEMPTED, PRUNED
from clozekit.output.display import say
from clozekit.runs.pruning_files import Report, read_answer, read_report, write_report
from clozekit.tasks.base import TaskModule
from clozekit.training.preemption import save_and_exit

SECONDS_BETWEEN_LOOKS = 0.02
PATIENCE = 300.0
"""After this many seconds without an answer the sweep has ended, and so does the run. The other
processes wait for the first one meanwhile, at most 600 seconds (`trainer.strategy.timeout`)."""


class _Verdict(IntEnum):
    GO_ON = 0
    PRUNE = 1
    STOP = 2


class Pruning(Callback):
    """Reports each validation to the sweep and waits for its answer.

    Checkpoints are saved before, so a pruned run can be resumed from the step of its last
    validation. A run that is interrupted before the answer asks again when it is resumed.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._has_begun = False

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: StepBatch[Any], batch_idx: int
    ) -> None:
        """Asks again if the run was interrupted while it waited for an answer."""
        if not self._has_begun:
            self._has_begun = True
            report = read_report(self.folder) if trainer.is_global_zero else None
            is_due = report is not None and report.step <= trainer.global_step
            if trainer.strategy.broadcast(is_due):
                self._ask(trainer, pl_module, report)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Asks the sweep, after a validation during training."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        report = None
        if trainer.is_global_zero:
            assert isinstance(pl_module, TaskModule)
            metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
            report = Report(
                step=trainer.global_step, max_steps=pl_module.max_steps, metrics=metrics
            )
            write_report(self.folder, report)
        self._ask(trainer, pl_module, report)

    def _ask(self, trainer: Trainer, module: LightningModule, report: Report | None) -> None:
        """Waits for the answer; only the first process has the report."""
        assert isinstance(module, TaskModule)
        verdict = None if report is None else int(_verdict(self.folder, report.step, module))
        verdict = trainer.strategy.broadcast(verdict)
        if verdict == _Verdict.PRUNE:
            if trainer.is_global_zero:
                say(f"pruned by the sweep after step {trainer.global_step}")
            save_and_exit(trainer, PRUNED)
        if verdict == _Verdict.STOP:
            save_and_exit(trainer, PREEMPTED)


def _verdict(folder: Path, step: int, module: TaskModule[Any]) -> _Verdict:
    began = time.monotonic()
    while True:
        answer = read_answer(folder)
        if answer is not None and answer.step == step:
            return _Verdict.PRUNE if answer.prune else _Verdict.GO_ON
        if module.stop_requested or time.monotonic() - began > PATIENCE:
            return _Verdict.STOP
        time.sleep(SECONDS_BETWEEN_LOOKS)
