"""The results of a benchmark as a table in the terminal, `results.csv` and `results.json`."""

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from clozekit.benchmarks.record import BenchmarkRecord
from clozekit.benchmarks.results import BenchmarkResults, CheckpointResult, TaskResult
from clozekit.benchmarks.statistics import Difference, Spread

RULE = (
    "better and worse: the mean difference over the seeds is further from 0 than chance would take "
    "it (paired t-test, 95 %); one seed decides nothing"
)
COLUMNS = (
    *("checkpoint", "task", "metric", "rate", "seeds", "mean", "deviation"),
    *("difference", "difference_deviation", "verdict"),
)


def table_of(results: BenchmarkResults) -> Table:
    """Returns the table for the terminal, one row per task."""
    record = results.record
    first, *others = results.checkpoints
    table = Table(title=_title(record), title_justify="left")
    for column in ("task", "metric"):
        table.add_column(column, overflow="fold")
    for checkpoint in results.checkpoints:
        table.add_column(checkpoint.label, justify="right", overflow="fold")
        table.add_column("rate", justify="right")
    for other in others:
        table.add_column(f"{other.label} - {first.label}", justify="right", overflow="fold")
    names = [row.task for row in first.tasks]
    if any(checkpoint.average for checkpoint in results.checkpoints):
        names.append("average")
    for name in names:
        rows = [_row(checkpoint, name) for checkpoint in results.checkpoints]
        is_points = all(task.is_points for task in record.tasks if task.name == name)
        cells = [cell for row in rows for cell in (_spread(row, is_points), _rate(row))]
        cells += [_difference(found.get(name), is_points) for found in results.differences]
        table.add_row(name, next((row.metric for row in rows if row), ""), *cells)
    return table


def notes_of(results: BenchmarkResults) -> list[str]:
    """Returns the lines below the table."""
    record, notes = results.record, []
    if any(task.factor == 100 for task in record.tasks):
        notes.append("scores are in points: 100 times the share or the correlation")
    if len(record.seeds) > 1:
        of_seeds = f" with {_named(record.tuning_seeds)}" if record.other_seeds else ""
        notes.append(
            f"±: standard deviation over seeds, at the rate that is best on validation{of_seeds}"
        )
    if any(checkpoint.average is None for checkpoint in results.checkpoints):
        reason = _no_average(results)
        if reason:
            notes.append(reason)
    if results.differences:
        notes.append(RULE)
    for checkpoint in results.checkpoints:
        for task in checkpoint.tasks:
            if not task.scores:
                total = record.num_jobs(record.task(task.task))
                done = min(sum(each.finished for each in task.tried), total)
                notes.append(
                    f"{checkpoint.label}, {task.task}: {done} of {total} runs have finished, so "
                    "there is no score yet"
                )
    return notes


def _named(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _no_average(results: BenchmarkResults) -> str | None:
    if len(results.record.tasks) == 1 or not results.is_complete:
        return None
    names = [task.name for task in results.record.tasks if not task.is_points]
    return f"no average, because {', '.join(names)} is not in points"


def results_csv(results: BenchmarkResults) -> str:
    """Returns one row per checkpoint and task, and one for the average."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    differences: list[dict[str, Difference]] = [{}, *results.differences]
    for checkpoint, found in zip(results.checkpoints, differences, strict=True):
        for row in checkpoint.rows:
            spread, difference = row.spread, found.get(row.task)
            writer.writerow(
                [
                    *(checkpoint.label, row.task, row.metric, _or_empty(row.chosen)),
                    *(len(row.scores), *map(_rounded, _two(spread))),
                    *map(_rounded, _two(difference.spread if difference else None)),
                    difference.verdict if difference else "",
                ]
            )
    return text.getvalue()


def results_json(results: BenchmarkResults) -> dict[str, Any]:
    """Returns everything: the scores of each seed, all rates, and the comparison."""
    record = results.record
    return {
        "benchmark": record.model_dump(mode="json"),
        "is_complete": results.is_complete,
        "checkpoints": [
            {
                "label": checkpoint.label,
                "tasks": [_task_json(row) for row in checkpoint.tasks],
                "average": None if checkpoint.average is None else _scores(checkpoint.average),
            }
            for checkpoint in results.checkpoints
        ],
        "comparison": {
            "rule": RULE,
            "with": results.checkpoints[0].label,
            "differences": [
                {
                    "label": checkpoint.label,
                    "tasks": {
                        name: {
                            "mean": difference.spread.mean,
                            "deviation": difference.spread.deviation,
                            "verdict": str(difference.verdict),
                        }
                        for name, difference in found.items()
                    },
                }
                for checkpoint, found in zip(
                    results.checkpoints[1:], results.differences, strict=True
                )
            ],
        }
        if results.differences
        else None,
    }


def _task_json(row: TaskResult) -> dict[str, Any]:
    return {
        "task": row.task,
        "metric": row.metric,
        "rate": row.chosen,
        **_scores(row),
        "tried": [
            {
                "rate": each.rate,
                "finished": each.finished,
                "validation": each.validation,
                "scores": list(each.scores),
            }
            for each in row.tried
        ],
    }


def _scores(row: TaskResult) -> dict[str, Any]:
    mean, deviation = _two(row.spread)
    return {
        "mean": None if mean == "" else mean,
        "deviation": None if deviation == "" else deviation,
        "scores": list(row.scores),
    }


def _title(record: BenchmarkRecord) -> str:
    number = len(record.seeds)
    return f"{record.suite}, {number} seed{'' if number == 1 else 's'}"


def _row(checkpoint: CheckpointResult, name: str) -> TaskResult | None:
    return next((row for row in checkpoint.rows if row.task == name), None)


def _spread(row: TaskResult | None, is_points: bool) -> str:
    spread = None if row is None else row.spread
    return "-" if spread is None else shown(spread, is_points)


def shown(spread: Spread, is_points: bool) -> str:
    """Formats a mean and its deviation: points with two decimals, losses with two digits or more.

    Args:
        spread: The mean and the deviation.
        is_points: Whether they are in points.
    """
    decimals = 2 if is_points else _decimals(spread)
    mean = f"{spread.mean:.{decimals}f}"
    return mean if spread.deviation is None else f"{mean} ± {spread.deviation:.{decimals}f}"


def _decimals(spread: Spread) -> int:
    """Returns the decimals that show two digits of the smaller number: from 4 to 8."""
    sizes = [abs(value) for value in (spread.mean, spread.deviation) if value]
    return min(8, max(4, *(1 - math.floor(math.log10(size)) for size in sizes), 4))


def _rate(row: TaskResult | None) -> str:
    if row is None or row.metric == "":
        return ""
    return "-" if row.chosen is None else f"{row.chosen:g}"


def _difference(difference: Difference | None, is_points: bool) -> str:
    if difference is None:
        return "-"
    sign = "+" if difference.spread.mean > 0 else ""
    return f"{sign}{shown(difference.spread, is_points)} {difference.verdict}"


def _rounded(value: float | str) -> float | str:
    """Rounds to six digits. Metrics are computed in float32, which has about seven."""
    return value if isinstance(value, str) else float(f"{value:.6g}")


def _or_empty(value: float | None) -> float | str:
    return "" if value is None else value


def _two(spread: Spread | None) -> tuple[float | str, float | str]:
    return ("", "") if spread is None else (spread.mean, _or_empty(spread.deviation))
