"""The plot of a run: losses, accuracies, learning rate and speed over steps."""

from pathlib import Path
from typing import Any

from clozekit.files import write_atomically
from clozekit.runs.folder import RunFolder
from clozekit.runs.metrics_file import read_series

PANELS = {
    "loss": ("loss", "mlm_loss", "nsp_loss"),
    "scores": (
        "accuracy",
        "mlm_accuracy",
        "nsp_accuracy",
        "exact_match",
        "f1",
        "f1_macro",
        "f1_micro",
        "precision",
        "recall",
        "matthews_correlation",
        "pearson",
        "spearman",
    ),
    "learning rate": ("learning_rate",),
    "tokens per second": ("tokens_per_second",),
}


def plot_curves(folder: RunFolder) -> None:
    """Plots `curves.png` from the run's history; does nothing if there is no history."""
    if not folder.metrics_file.is_file():
        return
    # Imported here because it takes half a second and is only needed at the end on one process.
    from matplotlib.figure import Figure

    series = read_series(folder.metrics_file)
    figure = Figure(figsize=(11, 7), layout="constrained")
    for axes, (title, names) in zip(figure.subplots(2, 2).flat, PANELS.items(), strict=True):
        for index, name in enumerate(names):
            for split, style in (("train", "-"), ("validation", "o--")):
                steps, values = series.get(f"{split}/{name}", ([], []))
                if steps:
                    axes.plot(
                        steps,
                        values,
                        style,
                        color=f"C{index}",
                        alpha=0.6 if split == "train" else 1.0,
                        markersize=4,
                        label=f"{split}/{name}",
                    )
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        if axes.has_data():
            axes.legend(fontsize="small")
    figure.suptitle(folder.path.name)
    save_figure(figure, folder.curves_file)


def save_figure(figure: Any, path: Path) -> None:
    """Writes a figure atomically."""
    with write_atomically(path) as file:
        figure.savefig(file, format="png", dpi=110)
