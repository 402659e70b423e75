"""Running the tasks of a stage over processes, with datatrove."""

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
    """Runs a stage's tasks that are not yet done.

    datatrove marks a task as done when it has returned, in a folder that a later run finds again.

    Args:
        title: What the stage does, for people.
        task: The work to do, given the task's number.
        work: Where it is done.
        num_tasks: How many tasks there are, whatever the number of workers is.
        workers: How many processes to use.

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
    # datatrove forks a process that keeps its counters, and would outlive a killed run.
    multiprocess.util.register_after_fork(executor, _end_with_parent)
    multiprocess.set_forkserver_preload([__name__, "clozekit.corpus.stages"])
    with show_progress(title, num_tasks, lambda: _count_done(logs)), _quiet_and_serial():
        try:
            executor.run()
        except UserError as error:
            # What a process raised comes with that process' traceback, which helps nobody.
            raise type(error)(str(error)) from None


class _Step(PipelineStep):  # type: ignore[misc]
    """A step of a pipeline that calls one function."""

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
    """datatrove's own, which in its processes says nothing and starts no threads."""

    def _run_for_rank(self, *args: Any, **kwargs: Any) -> Any:
        _be_quiet_and_serial()
        return super()._run_for_rank(*args, **kwargs)


def _end_with_parent(_: object) -> None:
    def watch() -> None:
        multiprocess.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _be_quiet_and_serial() -> None:
    """Silences datatrove's log and keeps tokenizers to one thread in this process."""
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
