"""The jobs of a benchmark in their order, and what is done when one has ended."""

import shutil
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from clozekit.benchmarks.planning import PlannedTask
from clozekit.benchmarks.record import JOBS, BenchmarkRecord, CheckpointRecord, job_name
from clozekit.benchmarks.results import best_rate, tried_rates
from clozekit.display import say
from clozekit.runs.folder import RunFolder
from clozekit.sweeps.job import Job, Status

_Key = tuple[str, str]
"""The label of a checkpoint and the name of a task."""


class BenchmarkJobs:
    """A source of jobs: tasks x rates x seeds of every checkpoint.

    The jobs of a task that starts from another one follow when all jobs of that one have ended: its
    rate is then known. They start from its runs, each from that of its own seed.

    Args:
        folder: The benchmark's folder.
        record: The benchmark.
        tasks: The tasks, those that others start from first.
        keeps_checkpoints: Whether the checkpoints of finished jobs stay.
    """

    def __init__(
        self,
        folder: Path,
        record: BenchmarkRecord,
        tasks: Sequence[PlannedTask],
        keeps_checkpoints: bool,
    ) -> None:
        self._folder = folder
        self._record = record
        self._tasks = tasks
        self._keeps_checkpoints = keeps_checkpoints
        self._sources = {task.record.start_from for task in tasks}
        self.first = [
            job
            for checkpoint in record.checkpoints
            for task in tasks
            if task.record.start_from is None
            for job in self._jobs_of(checkpoint, task)
        ]
        self.total = sum(
            len(task.record.rates) * len(record.seeds) * len(record.checkpoints) for task in tasks
        )
        self._queue = deque(self.first)
        self._of_job = {
            job_name(checkpoint.label, task.record.name, rate, seed): (
                checkpoint.label,
                task.record.name,
            )
            for checkpoint in record.checkpoints
            for task in tasks
            for rate in task.record.rates
            for seed in record.seeds
        }
        self._interrupted: set[_Key] = set()
        self._open: dict[_Key, int] = {}
        for key in self._of_job.values():
            self._open[key] = self._open.get(key, 0) + 1

    def take(self) -> Job | None:
        """Returns the next job; None if there is none, or none until a running job has ended."""
        return self._queue.popleft() if self._queue else None

    def ended(self, job: Job, status: Status) -> None:
        """Removes what is not needed of a finished job, and adds the jobs that start from it."""
        checkpoint, task = key = self._of_job[job.name]
        is_needed = self._keeps_checkpoints or task in self._sources
        if status == Status.FINISHED and not is_needed:
            shutil.rmtree(RunFolder(job.folder).checkpoints, ignore_errors=True)
        self._open[key] -= 1
        if status == Status.INTERRUPTED:
            # Its rate may turn out to be the best one when the benchmark is continued.
            self._interrupted.add(key)
        if self._open[key] == 0 and task in self._sources and key not in self._interrupted:
            self._add_dependents(checkpoint, task)

    def answer(self, job: Job) -> None:
        """Does nothing: no job of a benchmark asks whether to go on."""

    def is_pruned(self, job: Job) -> bool:
        """Whether a job was ended early; none is."""
        return False

    def _jobs_of(
        self, checkpoint: CheckpointRecord, task: PlannedTask, starts: dict[int, str] | None = None
    ) -> list[Job]:
        return [
            task.job(
                checkpoint.label, checkpoint.path if starts is None else starts[seed], rate, seed
            )
            for rate in task.record.rates
            for seed in self._record.seeds
        ]

    def _add_dependents(self, label: str, source: str) -> None:
        record = self._record.task(source)
        best = best_rate(record, tried_rates(self._folder, label, record, self._record))
        dependents = [task for task in self._tasks if task.record.start_from == source]
        if best is None:
            names = ", ".join(task.record.name for task in dependents)
            say(f"{label}: {names} cannot start from {source}, which did not finish at any rate")
            return
        (checkpoint,) = (each for each in self._record.checkpoints if each.label == label)
        starts = {
            seed: str(self._folder / JOBS / job_name(label, source, best.rate, seed))
            for seed in self._record.seeds
        }
        for task in dependents:
            jobs = self._jobs_of(checkpoint, task, starts)
            for job in jobs:
                job.check_folder()
            self._queue.extend(jobs)
