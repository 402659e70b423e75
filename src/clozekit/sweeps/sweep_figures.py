"""Plots of a sweep: its metric against the swept values, and the curves of all runs."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeGuard

from clozekit.output.figures import label_of, picture
from clozekit.runs.curves import mark_phases, phase_changes, running_mean
from clozekit.runs.folder import RunFolder
from clozekit.runs.metrics_file import read_series
from clozekit.sweeps.read_runs import Value, as_text
from clozekit.sweeps.summary import SEED, Criterion, Setting, Summary

COLUMNS = 3
MOST_NAMED = 10
"""The number of best settings with their own color and an entry in the legend."""

LONGEST_LABEL = 50
"""The maximum number of characters of a setting in the legend."""

TRAINING_LOSS = "train/loss"
SPAN_OF_LOG = 8
"""The ratio of the largest to the smallest positive number from which an axis is logarithmic."""


def plot_values(summary: Summary, path: Path) -> bool:
    """Plots the metric against the swept values, one panel per key.

    Each setting's mean is a large marker with its standard deviation, in the color of its curves.

    Returns:
        Whether there was anything to plot.
    """
    criterion = summary.criterion
    settings = [s for s in summary.settings if criterion and s.of(criterion.metric)]
    keys = [key for key in summary.keys if len(_values_of(settings, summary, key)) > 1]
    if not keys and summary.has_seeds and len(_values_of(settings, summary, SEED)) > 1:
        keys = [SEED]
    if criterion is None or not keys:
        return False
    columns = min(len(keys), COLUMNS)
    rows = math.ceil(len(keys) / columns)
    with picture(path, width=1 + 4.5 * columns, height=4 * rows) as figure:
        panels = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
        for axes, key in zip(panels, keys, strict=False):
            _plot_key(axes, key, settings, summary, criterion, is_alone=len(keys) == 1)
        for axes in panels[::columns]:
            axes.set_ylabel(label_of(criterion.metric, LONGEST_LABEL))
        for axes in panels[len(keys) :]:
            axes.set_axis_off()
    return True


def _values_of(settings: Sequence[Setting], summary: Summary, key: str) -> list[Value]:
    """Lists the distinct values of a key."""
    if key == SEED:
        values = [run.value(SEED) for setting in settings for run in setting.runs]
    else:
        values = [setting.values[summary.keys.index(key)] for setting in settings]
    return list({as_text(value): value for value in values}.values())


def _plot_key(
    axes: Any,
    key: str,
    settings: Sequence[Setting],
    summary: Summary,
    criterion: Criterion,
    *,
    is_alone: bool,
) -> None:
    place = _axis(axes, key, _values_of(settings, summary, key))
    means: list[tuple[float, float]] = []
    for rank, setting in enumerate(settings):
        runs = [run for run in setting.runs if criterion.metric in run.metrics]
        places = [place(run.value(key)) for run in runs]
        values = [run.metrics[criterion.metric] for run in runs]
        axes.plot(places, values, "o", color=_colour(rank), alpha=0.4, markersize=4)
        if key != SEED:
            mean, deviation = setting.mean(criterion.metric), setting.deviation(criterion.metric)
            assert mean is not None
            axes.errorbar(
                places[0], mean, deviation or 0.0, fmt="o", color=_colour(rank), capsize=3
            )
            means.append((places[0], mean))
    if is_alone and all(map(_is_number, _values_of(settings, summary, key))) and key != SEED:
        # With several keys, the means also differ in the other keys, so a line would be misleading.
        axes.plot(*zip(*sorted(means), strict=True), color="grey", alpha=0.6, zorder=1)
    axes.set(xlabel=label_of(key, LONGEST_LABEL))
    axes.grid(alpha=0.3)


def _colour(rank: int) -> str:
    return f"C{rank}" if rank < MOST_NAMED else "grey"


def _axis(axes: Any, key: str, values: Sequence[Value]) -> Any:
    """Prepares the axis of a key and returns a function from values to positions."""
    numbers = [value for value in values if _is_number(value)]
    are_numbers = len(numbers) == len(values)
    if are_numbers and key != SEED:
        if is_log(numbers):
            _set_log(axes)
        return lambda value: value
    names = [as_text(value) for value in (sorted(numbers) if are_numbers else values)]
    labels = [label_of(name) for name in names]
    axes.set_xticks(range(len(labels)), labels, rotation=90 if max(map(len, labels)) > 12 else 0)
    axes.margins(x=0.2)
    places = {name: index for index, name in enumerate(names)}
    return lambda value: places[as_text(value)]


def _set_log(axes: Any) -> None:
    """Makes the x-axis logarithmic, with plain numbers: matplotlib's own are mathtext."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _is_number(value: Value) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_log(numbers: Sequence[float]) -> bool:
    """Whether the range of numbers is large enough for a logarithmic axis."""
    return min(numbers) > 0 and max(numbers) / min(numbers) >= SPAN_OF_LOG


def plot_all_curves(summary: Summary, path: Path) -> bool:
    """Plots the curves of all runs in one figure, one color per setting, with the best in a legend.

    Returns:
        Whether there was anything to plot.
    """
    criterion = summary.criterion
    names = list(dict.fromkeys([*([criterion.metric] if criterion else []), TRAINING_LOSS]))
    series = [
        [read_series(RunFolder(run.folder).metrics_file) for run in setting.runs]
        for setting in summary.settings
    ]
    names = [name for name in names if any(name in curves for same in series for curves in same)]
    if not names:
        return False
    with picture(path, width=4 + 5 * len(names), height=5) as figure:
        panels = figure.subplots(1, len(names), squeeze=False).flat
        for axes, name in zip(panels, names, strict=True):
            for rank, (setting, same) in enumerate(zip(summary.settings, series, strict=True)):
                _plot_setting(axes, name, rank, _label(summary, setting), same)
            axes.set(title=label_of(name, LONGEST_LABEL), xlabel="step")
            axes.grid(alpha=0.3)
            changes = [phase_changes(curves) for same in series for curves in same]
            if all(each == changes[0] for each in changes):
                mark_phases(axes, changes[0])
        lines, labels = figure.axes[0].get_legend_handles_labels()
        if len(summary.runs) > 1 and lines:
            figure.legend(lines, labels, loc="outside right upper", fontsize="small")
    return True


def _plot_setting(axes: Any, name: str, rank: int, label: str, same: Sequence[Any]) -> None:
    is_named = rank < MOST_NAMED
    for curves in same:
        steps, values = curves.get(name, ((), ()))
        if not steps:
            continue
        means = running_mean(values) if name == TRAINING_LOSS else None
        axes.plot(
            steps,
            means or values,
            "-" if name == TRAINING_LOSS else "o-",
            color=_colour(rank),
            alpha=0.8 if is_named else 0.3,
            linewidth=1,
            markersize=3,
            label=label if is_named else None,
        )
        is_named = False  # one legend entry per setting


def _label(summary: Summary, setting: Setting) -> str:
    if not summary.keys:
        return (
            label_of(setting.runs[0].name, LONGEST_LABEL) if len(setting.runs) == 1 else "all seeds"
        )
    pairs = zip(summary.keys, setting.values, strict=True)
    label = ", ".join(f"{key.split('.')[-1]}={_short(value)}" for key, value in pairs)
    return label_of(label, LONGEST_LABEL)


def _short(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else as_text(value)
