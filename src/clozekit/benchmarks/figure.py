"""The picture of a benchmark: the score of each checkpoint at each task."""

from pathlib import Path
from typing import Any

from clozekit.benchmarks.results import BenchmarkResults
from clozekit.config.benchmark import AVERAGE
from clozekit.output.figures import label_of, picture


def plot_results(results: BenchmarkResults, path: Path) -> bool:
    """Plots the mean scores of all tasks, with deviations, and the score of each seed as a point.

    Scores that are not in points have an axis of their own each.

    Returns:
        Whether there was anything to plot.
    """
    record = results.record
    points = [task.name for task in record.tasks if task.is_points]
    if any(checkpoint.average for checkpoint in results.checkpoints):
        points.append(AVERAGE)
    panels = [points] if points else []
    panels += [[task.name] for task in record.tasks if not task.is_points]
    if not any(row.scores for checkpoint in results.checkpoints for row in checkpoint.rows):
        return False
    widths = [max(2, len(names)) for names in panels]
    with picture(path, width=2.5 + 0.8 * sum(widths), height=4.5) as figure:
        grid = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)
        for axes, names in zip(grid.flat, panels, strict=True):
            _plot(axes, results, names)
            is_in_points = names is points
            axes.set_ylabel("points" if is_in_points else record.task(names[0]).metric)
        lines, labels = grid.flat[0].get_legend_handles_labels()
        if lines:
            figure.legend(lines, labels, loc="outside upper center", fontsize="small", ncols=3)
    return True


def _plot(axes: Any, results: BenchmarkResults, names: list[str]) -> None:
    number = len(results.checkpoints)
    for index, checkpoint in enumerate(results.checkpoints):
        rows = {row.task: row for row in checkpoint.rows if row.scores}
        places, means, deviations = [], [], []
        for place, name in enumerate(names):
            if name not in rows or (spread := rows[name].spread) is None:
                continue
            place_of_one = place + 0.6 * ((index + 0.5) / number - 0.5)
            places.append(place_of_one)
            means.append(spread.mean)
            deviations.append(spread.deviation or 0.0)
            scores = rows[name].scores
            axes.plot(
                [place_of_one] * len(scores), scores, "o", color=f"C{index}", alpha=0.35, ms=3
            )
        if places:
            axes.errorbar(
                *(places, means, deviations),
                fmt="o",
                color=f"C{index}",
                capsize=3,
                label=label_of(checkpoint.label),
            )
    labels = [label_of(name) for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=30, ha="right")
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.grid(alpha=0.3)
