"""The tasks of a stage in bundles, which the jobs of a cluster run, and run again if they are lost.

A job takes seconds to start, so it runs several tasks. What it has done is known from the stage's
files alone, so it does not matter how it ends.
"""

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clozekit.corpus.engines.processes import run_in_processes
from clozekit.corpus.engines.stage import Stage
from clozekit.errors import DataError, WorkerError
from clozekit.processes.workers import TOKENIZER_THREADS

MOST_JOBS = 256
MOST_AT_ONCE = 1_000
"""Slurm's default limit for an array. Many clusters limit the queued jobs of a user similarly."""
LEAST_TASKS = 8
RETRIES = 3
"""A task whose job is lost this often is run again; at the next loss, the stage fails."""


def bundle_size(num_tasks: int, tasks_per_job: int | None) -> int:
    """Returns the number of tasks that a job runs one after another."""
    return tasks_per_job or max(LEAST_TASKS, -(-num_tasks // MOST_JOBS))


def run_bundle(stage: Stage, cores: int, current_folder: str, numbers: Sequence[int]) -> None:
    """Runs tasks in a job, as far as they are not done, until one of them fails.

    Args:
        stage: The stage.
        cores: The number of tasks to run at once.
        current_folder: The folder that relative paths in the configuration start from.
        numbers: The numbers of the tasks.

    Raises:
        DataError: The work folder is not on this machine.
        WorkerError: A process was killed.
    """
    _enter(current_folder)
    if not stage.work.folder.is_dir():
        raise DataError(
            f"{stage.work.folder} does not exist on {os.uname().nodename}; it should "
            "be in a folder that all nodes share"
        )
    os.environ[TOKENIZER_THREADS] = "false"
    missing = [number for number in numbers if not stage.is_done(number)]
    try:
        if cores == 1:
            for number in missing:
                stage.run(number)
        elif missing:
            run_in_processes(stage.run, missing, cores, ["clozekit.corpus.pipeline"])
    except WorkerError as error:
        # What it advises is for one machine.
        raise WorkerError(str(error).partition(";")[0]) from None
    except Exception:
        # What is written down reaches the user from there.
        if stage.first_failure() is None:
            raise


def _enter(folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError:
        # No file of the same name elsewhere is read in place of the user's.
        os.chdir("/")


@dataclass
class Bundles:
    """The bundles of a stage that wait or run.

    Args:
        stage: The stage.
        waiting: The bundles that are not given to a job yet.
        most_jobs: The number of bundles that may run at once; None for 1,000.

    Attributes:
        running: The bundle of each running job, by the job's name.
    """

    stage: Stage
    waiting: deque[list[int]]
    most_jobs: int | None
    running: dict[str, list[int]] = field(default_factory=dict)
    _losses: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(
        cls, stage: Stage, numbers: Sequence[int], size: int, most_jobs: int | None
    ) -> "Bundles":
        """Puts the tasks into bundles of a size, smaller ones if otherwise some workers idle."""
        if most_jobs is not None:
            size = max(1, min(size, -(-len(numbers) // most_jobs)))
        starts = range(0, len(numbers), size)
        bundles = deque([list(numbers[first : first + size]) for first in starts])
        return cls(stage, bundles, most_jobs)

    def take(self) -> list[list[int]]:
        """Returns the bundles to give to jobs now, which the caller adds to `running`."""
        free = (self.most_jobs or MOST_AT_ONCE) - len(self.running)
        number = min(len(self.waiting), free, MOST_AT_ONCE)
        return [self.waiting.popleft() for _ in range(number)]

    def look(self) -> bool:
        """Forgets the jobs whose tasks are done; returns whether all tasks of the stage are done.

        Raises:
            Exception: The error of the first task that failed.
        """
        failure = self.stage.first_failure()
        if failure is not None:
            raise failure
        done = self.stage.done()
        for job in [job for job, bundle in self.running.items() if done.issuperset(bundle)]:
            del self.running[job]
        return not self.running and not self.waiting

    def ended(self, jobs: Sequence[str], describe: Callable[[str], str]) -> None:
        """Puts what ended jobs have left undone back in the queue.

        Args:
            jobs: The names of jobs that have ended.
            describe: Returns for a job what is known about its end.

        Raises:
            Exception: The error of the first task that failed, or a `WorkerError` for one that was
                lost too often.
        """
        self.stage.refresh()
        self.look()
        for job in jobs:
            left = [n for n in self.running.pop(job, []) if not self.stage.is_done(n)]
            if not left:
                continue
            self._losses[left[0]] += 1
            if self._losses[left[0]] > RETRIES:
                raise WorkerError(
                    f"{self.stage.title}: task {left[0]} was not done by any of "
                    f"{RETRIES + 1} jobs; run the same command again to continue, with a larger "
                    "executor.mem_per_cpu_gb if memory is short; the last job was "
                    f"{describe(job)}"
                )
            self.waiting.appendleft(left)


def last_line(log: Path) -> str | None:
    """Returns the last line of a log that is not empty; None if there is no log."""
    try:
        lines: Iterator[str] = reversed(log.read_text(errors="replace").splitlines())
    except OSError:
        return None
    return next((line.strip() for line in lines if line.strip()), None)
