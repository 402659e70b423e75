"""The jobs of a benchmark in their order, and what is done when one has ended."""

import shutil
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from clozekit.benchmarks.planning import PlannedTask
from clozekit.benchmarks.record import JOBS, BenchmarkRecord, CheckpointRecord, job_name
from clozekit.benchmarks.results import RateResult, best_rate, tried_rates
from clozekit.documents import read_yaml
from clozekit.errors import ConfigError
from clozekit.output.display import say
from clozekit.runs.folder import RunFolder
from clozekit.sweeps.job import Job, Status

_Key = tuple[str, str]
"""The label of a checkpoint and the name of a task."""


class _Place(NamedTuple):
    """What a job is of."""

    checkpoint: str
    task: str
    rate: float
    seed: int


class BenchmarkJobs:
    """A source of jobs: tasks x rates x seeds of every checkpoint.

    With `rate_seeds`, only these seeds run with all rates. The others follow with the best rate
    when all of these have ended. The jobs of a task that starts from another one follow when all
    jobs of that one have ended. They start from its runs, each from that of its own seed.

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
            for job in self._jobs_of(checkpoint, task, self._starts(checkpoint, task))
        ]
        self.total = len(record.checkpoints) * sum(record.num_jobs(task.record) for task in tasks)
        self._queue = deque(self.first)
        self._of_job = {
            job_name(checkpoint.label, task.record.name, rate, seed): _Place(
                checkpoint.label, task.record.name, rate, seed
            )
            for checkpoint in record.checkpoints
            for task in tasks
            for rate in task.record.rates
            for seed in record.seeds
        }
        self._interrupted: set[_Key] = set()
        self._open = {
            (checkpoint.label, task.record.name): len(task.record.rates) * len(record.tuning_seeds)
            for checkpoint in record.checkpoints
            for task in tasks
        }
        self._others = dict.fromkeys(self._open, record.other_seeds)

    def take(self) -> Job | None:
        """Returns the next job; None if there is none, or none until a running job has ended."""
        return self._queue.popleft() if self._queue else None

    def ended(self, job: Job, status: Status) -> None:
        """Removes what is not needed of a finished job, and adds the jobs that wait for it."""
        label, task = key = self._of_job[job.name][:2]
        is_needed = self._keeps_checkpoints or task in self._sources
        if status == Status.FINISHED and not is_needed:
            shutil.rmtree(RunFolder(job.folder).checkpoints, ignore_errors=True)
        self._open[key] -= 1
        if status == Status.INTERRUPTED:
            # Its rate may turn out to be the best one when the benchmark is continued.
            self._interrupted.add(key)
        if self._open[key] == 0 and key not in self._interrupted:
            self._add_other_seeds(label, task)
        if self._open[key] == 0 and key not in self._interrupted and task in self._sources:
            self._add_dependents(label, task)

    def answer(self, job: Job) -> None:
        """Does nothing: no job of a benchmark asks whether to go on."""

    def is_pruned(self, job: Job) -> bool:
        """Whether a job was ended early; none is."""
        return False

    def _add_other_seeds(self, label: str, name: str) -> None:
        """Adds the jobs of the seeds that run with the best rate only, once it is known."""
        seeds, self._others[label, name] = self._others[label, name], ()
        best = self._best_rate(label, name)
        if best is None:
            return
        task = self._task(name)
        starts = self._starts(self._checkpoint(label), task)
        self._add([task.job(label, starts[seed], best.rate, seed) for seed in seeds])
        self._open[label, name] = len(seeds)

    def _add_dependents(self, label: str, source: str) -> None:
        """Adds the jobs of the tasks that start from a task all of whose jobs have ended."""
        best = self._best_rate(label, source)
        dependents = [task for task in self._tasks if task.record.start_from == source]
        if best is None or not best.scores:
            names = ", ".join(task.record.name for task in dependents)
            why = "did not finish at any rate" if best is None else "did not finish with all seeds"
            say(f"{label}: {names} cannot start from {source}, which {why}")
            return
        for task in dependents:
            checkpoint = self._checkpoint(label)
            self._add(self._jobs_of(checkpoint, task, self._starts(checkpoint, task)))

    def _add(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.check_folder()
        self._queue.extend(jobs)

    def _jobs_of(
        self, checkpoint: CheckpointRecord, task: PlannedTask, starts: Mapping[int, str]
    ) -> list[Job]:
        """Returns the jobs of the seeds that try all rates."""
        return [
            task.job(checkpoint.label, starts[seed], rate, seed)
            for rate in task.record.rates
            for seed in self._record.tuning_seeds
        ]

    def _starts(self, checkpoint: CheckpointRecord, task: PlannedTask) -> dict[int, str]:
        """Returns what the encoder of each seed starts from."""
        source = task.record.start_from
        if source is None:
            return dict.fromkeys(self._record.seeds, checkpoint.path)
        best = self._best_rate(checkpoint.label, source)
        assert best is not None, "jobs that start from a task follow it"
        begun = self._begun_from(checkpoint.label, task)
        rates = {self._of_job[name].rate for name in begun.values() if name in self._of_job}
        # Seeds or rates that are added may change which rate is the best, but runs stay.
        rate = rates.pop() if len(rates) == 1 else best.rate
        if rate != best.rate and self._record.other_seeds:
            raise ConfigError(
                f"{self._folder}: the best rate of {source} is now {best.rate}, but {min(begun)} "
                f"starts from a run with {rate}, which not all seeds have; remove the jobs of "
                f"{task.record.name}, or use another name=…"
            )
        return {
            seed: str(self._folder / JOBS / job_name(checkpoint.label, source, rate, seed))
            for seed in self._record.seeds
        }

    def check_dependents(self) -> None:
        """Checks the folders of jobs that start from another task, if they have begun already.

        Raises:
            ConfigError: A folder has a job with another configuration.
        """
        for checkpoint in self._record.checkpoints:
            for task in self._tasks:
                if task.record.start_from is not None:
                    for name, source in self._begun_from(checkpoint.label, task).items():
                        rate, seed = self._of_job[name][2:]
                        path = str(self._folder / JOBS / source)
                        task.job(checkpoint.label, path, rate, seed).check_folder()

    def _begun_from(self, label: str, task: PlannedTask) -> dict[str, str]:
        """Returns the jobs of a task that have begun, each with the name of its source job."""
        begun = {}
        for rate in task.record.rates:
            for seed in self._record.seeds:
                name = job_name(label, task.record.name, rate, seed)
                file = RunFolder(self._folder / JOBS / name).config_file
                values = read_yaml(file) if file.is_file() else None
                encoder = values.get("encoder") if isinstance(values, dict) else None
                if isinstance(encoder, dict) and isinstance(encoder.get("pretrained"), str):
                    begun[name] = Path(encoder["pretrained"]).name
        return begun

    def _best_rate(self, label: str, task: str) -> RateResult | None:
        record = self._record.task(task)
        return best_rate(record, tried_rates(self._folder, label, record, self._record))

    def _task(self, name: str) -> PlannedTask:
        return next(task for task in self._tasks if task.record.name == name)

    def _checkpoint(self, label: str) -> CheckpointRecord:
        return next(each for each in self._record.checkpoints if each.label == label)
