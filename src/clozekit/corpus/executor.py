"""Runs the tasks of a stage in parallel processes with datatrove."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import multiprocess  # type: ignore[import-untyped]
import multiprocess.util  # type: ignore[import-untyped]
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from loguru import logger

from clozekit.corpus.progress import show_progress
from clozekit.corpus.work_folder import Work
from clozekit.errors import UserError

Task: TypeAlias = Callable[[Work, int], None]


def run_tasks(title: str, task: Task, work: Work, num_tasks: int, workers: int) -> None:
    """Runs the tasks of a stage that are not completed yet.

    datatrove marks completed tasks with files in the work folder, so a later run skips them.

    Args:
        title: The name of the stage for the progress display.
        task: The function to run, with the work folder and the task's number.
        work: The work folder.
        num_tasks: The number of tasks, which is independent of the number of workers.
        workers: The number of processes.

    Raises:
        UserError: A task raised it.
    """
    logs = work.folder / "logs" / task.__name__
    executor = _Executor(
        [_Step(task, work)],
        tasks=num_tasks,
        workers=min(workers, num_tasks),
        logging_dir=str(logs),
    )
    # datatrove forks a process for its counters, which would outlive a killed run.
    multiprocess.util.register_after_fork(executor, _end_with_parent)
    multiprocess.set_forkserver_preload([__name__, "clozekit.corpus.stages"])
    with show_progress(title, num_tasks, lambda: _count_done(logs)), _quiet_and_serial():
        try:
            executor.run()
        except UserError as error:
            # The error carries the worker's traceback, which is of no use to the user.
            raise type(error)(str(error)) from None


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
    """datatrove's local executor without log output and tokenizer threads in the workers."""

    def _run_for_rank(self, *args: Any, **kwargs: Any) -> Any:
        _be_quiet_and_serial()
        return super()._run_for_rank(*args, **kwargs)


def _end_with_parent(_: object) -> None:
    def watch() -> None:
        multiprocess.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


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
