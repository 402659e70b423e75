"""The scores of a benchmark, from the results of its jobs: the chosen rates and the comparison."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clozekit.benchmarks.record import JOBS, BenchmarkRecord, TaskRecord, job_name
from clozekit.benchmarks.statistics import Difference, Spread, compare, spread_of
from clozekit.config.benchmark import AVERAGE
from clozekit.errors import DataError
from clozekit.runs.folder import RunFolder
from clozekit.runs.metrics_file import read_metrics_of


@dataclass(frozen=True)
class RateResult:
    """A learning rate that was tried.

    Attributes:
        rate: The rate.
        finished: The number of seeds with results.
        validation: The mean score on the validation split over the seeds that try all rates; None
            unless all of these have finished.
        scores: The score of each seed on the split that is reported; empty unless all have.
    """

    rate: float
    finished: int
    validation: float | None = None
    scores: tuple[float, ...] = ()


@dataclass(frozen=True)
class TaskResult:
    """The result of a checkpoint at a task, or its average.

    Attributes:
        task: The name of the task.
        metric: The metric with its split; empty for the average.
        chosen: The rate with the best mean score on the validation split; None if not all seeds
            have finished at it, and for the average.
        scores: The score of each seed at that rate; empty if there is none.
        tried: All rates.
    """

    task: str
    metric: str
    chosen: float | None
    scores: tuple[float, ...]
    tried: tuple[RateResult, ...] = ()

    @property
    def spread(self) -> Spread | None:
        """The mean and the deviation of the scores."""
        return spread_of(self.scores) if self.scores else None


@dataclass(frozen=True)
class CheckpointResult:
    """All results of a checkpoint.

    Attributes:
        label: The label of the checkpoint.
        tasks: Its result at each task.
        average: The average over the tasks; None if there is one task, a score is missing, or a
            score is not in points.
    """

    label: str
    tasks: tuple[TaskResult, ...]
    average: TaskResult | None

    @property
    def rows(self) -> tuple[TaskResult, ...]:
        """The tasks, and the average if any."""
        return self.tasks if self.average is None else (*self.tasks, self.average)


@dataclass(frozen=True)
class BenchmarkResults:
    """The results of a benchmark.

    Attributes:
        record: The benchmark.
        checkpoints: The results of each checkpoint.
        differences: For each checkpoint but the first, the difference to the first one in each row,
            by task; a row is missing if a score is.
    """

    record: BenchmarkRecord
    checkpoints: tuple[CheckpointResult, ...]
    differences: tuple[dict[str, Difference], ...]

    @property
    def is_complete(self) -> bool:
        """Whether every checkpoint has a score at every task."""
        return all(task.scores for each in self.checkpoints for task in each.tasks)


def read_results(folder: Path, record: BenchmarkRecord) -> BenchmarkResults:
    """Reads the results of all jobs.

    Args:
        folder: The benchmark's folder.
        record: The benchmark.
    """
    checkpoints = []
    for checkpoint in record.checkpoints:
        tasks = tuple(
            task_result(task, tried_rates(folder, checkpoint.label, task, record))
            for task in record.tasks
        )
        checkpoints.append(CheckpointResult(checkpoint.label, tasks, _average(record, tasks)))
    return BenchmarkResults(
        record,
        tuple(checkpoints),
        tuple(_differences(record, checkpoints[0], other) for other in checkpoints[1:]),
    )


def tried_rates(
    folder: Path, checkpoint: str, task: TaskRecord, record: BenchmarkRecord
) -> list[RateResult]:
    """Reads the scores of a checkpoint at a task, with each rate."""
    tried = []
    for rate in task.rates:
        runs = [
            _metrics(folder / JOBS / job_name(checkpoint, task.name, rate, seed))
            for seed in record.seeds
        ]
        tried.append(rate_result(task, rate, runs, len(record.tuning_seeds)))
    return tried


def rate_result(
    task: TaskRecord,
    rate: float,
    runs: Sequence[dict[str, float] | None],
    num_tuning_seeds: int | None = None,
) -> RateResult:
    """Makes the result of a rate.

    Args:
        task: The task.
        rate: The rate.
        runs: The final metrics of each seed; None for a run without results.
        num_tuning_seeds: How many of the seeds, from the first, try all rates; None for all.

    Raises:
        DataError: A run has results without the metric.
    """
    finished = [metrics for metrics in runs if metrics is not None]
    for metrics in finished:
        for name in (f"validation/{task.metric}", f"{task.split}/{task.metric}"):
            if name not in metrics:
                raise DataError(
                    f"the results of task {task.name} at lr={rate} have no {name}; they have "
                    f"{', '.join(sorted(metrics)) or 'no metrics'}"
                )
    tuning = runs[:num_tuning_seeds]
    validation = _scores(task, tuning, "validation")
    if not validation or not _scores(task, tuning, task.split):
        return RateResult(rate, len(finished))
    scores = _scores(task, runs, task.split)
    return RateResult(rate, len(finished), spread_of(validation).mean, scores)


def best_rate(task: TaskRecord, tried: Sequence[RateResult]) -> RateResult | None:
    """Returns the rate with the best mean score on the validation split; the first of equal ones.

    Only rates count at which all seeds that try all rates have finished, with scores that are
    numbers.
    """
    complete = [each for each in tried if each.validation is not None]
    sign = 1 if task.mode == "max" else -1
    return max(complete, key=lambda each: sign * (each.validation or 0.0), default=None)


def task_result(task: TaskRecord, tried: Sequence[RateResult]) -> TaskResult:
    """Makes the result of a task from those of its rates."""
    best = best_rate(task, tried)
    if best is not None and not best.scores:
        best = None  # further seeds are missing
    return TaskResult(
        task=task.name,
        metric=f"{task.split}/{task.metric}",
        chosen=None if best is None else best.rate,
        scores=() if best is None else best.scores,
        tried=tuple(tried),
    )


def _scores(
    task: TaskRecord, runs: Sequence[dict[str, float] | None], split: str
) -> tuple[float, ...]:
    """Returns the score of each run on a split; empty if one is missing or not a number."""
    values = [None if run is None else task.factor * run[f"{split}/{task.metric}"] for run in runs]
    scores = tuple(value for value in values if value is not None and math.isfinite(value))
    return scores if len(scores) == len(values) else ()


def _average(record: BenchmarkRecord, tasks: Sequence[TaskResult]) -> TaskResult | None:
    """Averages the tasks for each seed, so that the deviation of the average is that of seeds."""
    is_possible = len(tasks) > 1 and all(task.is_points for task in record.tasks)
    if not is_possible or not all(task.scores for task in tasks):
        return None
    by_seed = zip(*(task.scores for task in tasks), strict=True)
    means = tuple(math.fsum(scores) / len(tasks) for scores in by_seed)
    return TaskResult(AVERAGE, "", None, means)


def _differences(
    record: BenchmarkRecord, first: CheckpointResult, other: CheckpointResult
) -> dict[str, Difference]:
    modes = {task.name: task.mode for task in record.tasks}
    found = {}
    for before, after in zip(first.tasks, other.tasks, strict=True):
        if before.scores and after.scores:
            found[before.task] = compare(before.scores, after.scores, modes[before.task])
    if first.average is not None and other.average is not None:
        found[AVERAGE] = compare(first.average.scores, other.average.scores, "max")
    return found


def _metrics(folder: Path) -> dict[str, float] | None:
    file = RunFolder(folder).results_file
    if not file.is_file():
        return None
    try:
        return read_metrics_of(file)
    except DataError:
        return None  # damaged: the job is resumed at its end and writes it again
