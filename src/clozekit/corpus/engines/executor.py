"""Runs the tasks of a stage: in processes of this machine, in jobs of Slurm, or on Ray."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from clozekit.config.executor import RayExecutorConfig, SlurmExecutorConfig
from clozekit.config.prepare import PrepareConfig
from clozekit.corpus.engines import ray_executor, slurm_executor
from clozekit.corpus.engines.processes import run_in_processes
from clozekit.corpus.engines.progress import show_progress
from clozekit.corpus.engines.stage import Stage, Task
from clozekit.corpus.work_folder import Work
from clozekit.processes.workers import serial_tokenizers


def check_executor(config: PrepareConfig) -> None:
    """Checks that the executor is installed, before anything is written.

    Raises:
        ConfigError: It is not.
    """
    if isinstance(config.executor, SlurmExecutorConfig):
        slurm_executor.check_installed()
    elif isinstance(config.executor, RayExecutorConfig):
        ray_executor.check_installed()


@contextmanager
def executor_of(work: Work) -> Iterator[None]:
    """Provides the executor for the stages, and ends all of its jobs.

    Raises:
        ExecutorError: The cluster cannot be reached.
    """
    if isinstance(work.config.executor, SlurmExecutorConfig):
        with slurm_executor.ending_jobs(work):
            yield
    elif isinstance(work.config.executor, RayExecutorConfig):
        with ray_executor.connected(work.config.executor):
            yield
    else:
        yield


def run_tasks(title: str, task: Task, work: Work, num_tasks: int) -> None:
    """Runs the tasks of a stage that are not done yet.

    A file in the work folder marks each task that is done, so a later run skips it.

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
    stage = Stage.of(title, task, work, num_tasks)
    with show_progress(title, num_tasks, lambda: len(stage.done())):
        if missing := stage.missing():
            _run(stage, missing)


def _run(stage: Stage, missing: Sequence[int]) -> None:
    config = stage.work.config
    if isinstance(config.executor, SlurmExecutorConfig):
        slurm_executor.run_stage(stage, missing, config.executor)
    elif isinstance(config.executor, RayExecutorConfig):
        ray_executor.run_stage(stage, missing, config.executor)
    else:
        _run_here(stage, missing)


def _run_here(stage: Stage, missing: Sequence[int]) -> None:
    workers = min(stage.work.config.num_workers, len(missing))
    with serial_tokenizers():
        if workers == 1:
            for number in missing:
                stage.run(number)
        else:
            run_in_processes(stage.run, missing, workers, [__name__, "clozekit.corpus.pipeline"])
