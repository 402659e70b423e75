"""The plot of a run: losses, accuracies, learning rate and speed over steps."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from clozekit.output.figures import label_of, picture
from clozekit.runs.folder import RunFolder
from clozekit.runs.metrics_file import Series, read_series

PANELS = {
    "loss": ("loss", "mlm_loss", "nsp_loss", "sop_loss"),
    "scores": (
        "accuracy",
        "mlm_accuracy",
        "nsp_accuracy",
        "sop_accuracy",
        "exact_match",
        "f1",
        "f1_macro",
        "f1_micro",
        "precision",
        "recall",
        "matthews_correlation",
        "pearson",
        "spearman",
        "mean_accuracy",
        "cls_accuracy",
    ),
    "learning rate": ("learning_rate",),
    "tokens per second": ("tokens_per_second",),
}


BASELINE = "train/unigram_entropy"

EXACT = ("learning_rate",)
"""Metrics that have no noise."""

FEWEST_OF_A_MEAN = 20
"""Curves with fewer points have no running mean."""

POINTS_OF_A_MEAN = 25
"""The window of the running mean is this fraction (1 / 25) of all points."""


def plot_curves(folder: RunFolder) -> None:
    """Plots `curves.png` from the run's history; does nothing if there is no history."""
    if not folder.metrics_file.is_file():
        return
    series = read_series(folder.metrics_file)
    with picture(folder.curves_file, width=11, height=7) as figure:
        for axes, (title, names) in zip(figure.subplots(2, 2).flat, PANELS.items(), strict=True):
            for index, name in enumerate(names):
                _plot_metric(axes, name, f"C{index}", series)
            if title == "loss":
                _plot_sources(axes, len(names), series)
                _plot_baseline(axes, series)
            if axes.has_data():
                mark_phases(axes, phase_changes(series))
            axes.set(title=title, xlabel="step")
            axes.grid(alpha=0.3)
            if axes.has_data():
                axes.legend(fontsize="small")
        figure.suptitle(label_of(folder.path.name, longest=80))


def running_mean(values: Sequence[float]) -> list[float] | None:
    """Returns the mean over the last points at each point; None if there are few points.

    Values that are not finite are left out.
    """
    if len(values) < FEWEST_OF_A_MEAN:
        return None
    size = max(2, len(values) // POINTS_OF_A_MEAN)
    given = np.array(values, np.float64)
    is_finite = np.isfinite(given)
    sums = np.cumsum(np.where(is_finite, given, 0.0))
    counts = np.cumsum(is_finite)
    sums[size:] -= sums[:-size].copy()
    counts[size:] -= counts[:-size].copy()
    means: list[float] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).tolist()
    return means


def phase_changes(series: Series) -> list[int]:
    """Returns the last logged step of each training phase but the last one."""
    steps, phases = series.get("train/phase", ([], []))
    changes = zip(steps, phases, phases[1:], strict=False)
    return [step for step, phase, following in changes if phase != following]


def mark_phases(axes: Any, changes: Sequence[int]) -> None:
    """Draws a line where a phase ends, one of them with a label."""
    for index, step in enumerate(changes):
        label = "_" if index else "change of phase"
        axes.axvline(step, color="0.5", linestyle=":", linewidth=1, label=label)


def _plot_sources(axes: Any, first_color: int, series: Series) -> None:
    """Plots the validation loss of each source of a mixture."""
    parts = {name: name.split("/") for name in series}
    sources = [p[1] for p in parts.values() if len(p) == 3 and p[::2] == ["validation", "loss"]]
    for index, source in enumerate(sources):
        steps, values = series[f"validation/{source}/loss"]
        style = {"color": f"C{first_color + index}", "markersize": 3, "linewidth": 0.8}
        axes.plot(steps, values, "s:", label=f"validation/{source}/loss", **style)


def _plot_baseline(axes: Any, series: Series) -> None:
    """Draws the MLM loss of a model that knows only the frequencies of tokens."""
    _, values = series.get(BASELINE, ([], []))
    if values:
        axes.axhline(values[0], color="grey", linestyle=":", label="token frequencies (MLM)")


def _plot_metric(axes: Any, name: str, color: str, series: Series) -> None:
    steps, values = series.get(f"train/{name}", ([], []))
    if steps:
        # The learning rate is exact: its mean would only lag behind.
        means = None if name in EXACT else running_mean(values)
        if means is not None:
            axes.plot(steps, values, color=color, alpha=0.2, linewidth=0.8)
        axes.plot(steps, means or values, color=color, alpha=0.8, label=f"train/{name}")
    for split, style in (("validation", "o--"), ("probe", "s:")):
        steps, values = series.get(f"{split}/{name}", ([], []))
        if steps:
            axes.plot(steps, values, style, color=color, markersize=4, label=f"{split}/{name}")
