"""Runs the tasks of a stage in parallel processes with datatrove."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeAlias

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from loguru import logger

from clozekit.corpus.processes import run_in_processes
from clozekit.corpus.progress import show_progress
from clozekit.corpus.work_folder import Work

Task: TypeAlias = Callable[[Work, int], None]


def run_tasks(title: str, task: Task, work: Work, num_tasks: int) -> None:
    """Runs the tasks of a stage that are not completed yet.

    datatrove marks completed tasks with files in the work folder, so a later run skips them.

    Args:
        title: The name of the stage for the progress display.
        task: The function to run, with the work folder and the task's number.
        work: The work folder.
        num_tasks: The number of tasks, which is independent of the number of workers.

    Raises:
        UserError: A task raised it.
        WorkerError: A process was killed.
    """
    if not num_tasks:
        return
    logs = work.logs(task.__name__)
    executor = _Executor(
        [_Step(task, work)],
        tasks=num_tasks,
        workers=min(work.config.num_workers, num_tasks),
        logging_dir=str(logs),
    )
    with show_progress(title, num_tasks, lambda: _count_done(logs)), _quiet_and_serial():
        executor.run()


class _Step(PipelineStep):  # type: ignore[misc]
    """A pipeline step that calls one function."""

    type = "clozekit"

    def __init__(self, task: Task, work: Work) -> None:
        self.name = task.__name__
        super().__init__()
        self.task = task
        self.work = work

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Any:
        self.task(self.work, rank)
        return data


class _Executor(LocalPipelineExecutor):  # type: ignore[misc]
    """datatrove's local executor, which notices killed workers.

    Its own pool replaces a killed worker and waits forever for the result of the lost task.
    """

    def run(self) -> None:
        """Runs all tasks that are not completed."""
        tasks = self.get_incomplete_ranks()
        if not tasks:
            return
        self.save_executor_as_json()
        if self.workers == 1:
            for number in tasks:
                self.run_task(number)
        else:
            preload = [__name__, "clozekit.corpus.pipeline"]
            run_in_processes(self.run_task, tasks, self.workers, preload)

    def run_task(self, number: int) -> None:
        """Runs a task in this process, and marks it as completed."""
        _be_quiet_and_serial()
        deepcopy(self)._run_for_rank(number)


def _be_quiet_and_serial() -> None:
    """Disables datatrove's log and the threads of tokenizers in this process."""
    logger.disable("datatrove")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


@contextmanager
def _quiet_and_serial() -> Iterator[None]:
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    _be_quiet_and_serial()
    try:
        yield
    finally:
        logger.enable("datatrove")
        del os.environ["TOKENIZERS_PARALLELISM"]
        if before is not None:
            os.environ["TOKENIZERS_PARALLELISM"] = before


def _count_done(logs: Path) -> int:
    try:
        return sum(1 for _ in (logs / "completions").iterdir())
    except FileNotFoundError:
        return 0
