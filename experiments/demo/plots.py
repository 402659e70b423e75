"""Draws the two pictures of a demo: the loss against word frequencies, and the probe."""

import csv
from pathlib import Path

from clozekit.output.figures import picture

Points = tuple[list[int], list[float]]


def draw_plots(run: Path, entropy: float) -> list[Path]:
    """Draws the pictures into the folder of a pretraining.

    Args:
        run: The folder.
        entropy: The loss of word frequencies alone, in nats.
    """
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [draw_loss(run / "loss.png", rows, entropy), draw_probe(run / "probe.png", rows)]


def draw_loss(path: Path, rows: list[dict[str, str]], entropy: float) -> Path:
    """Draws the loss on masked words in training and on held-out text, and the entropy."""
    with picture(path, 7, 4) as figure:
        axes = figure.subplots()
        axes.plot(
            *points(rows, "train/mlm_loss"),
            color="tab:blue",
            alpha=0.4,
            label="training, masked as the recipe says",
        )
        axes.plot(
            *points(rows, "validation/mlm_loss"),
            "o-",
            color="tab:blue",
            label="held-out, 15% masked",
        )
        axes.axhline(entropy, color="gray", linestyle="--", label="word frequencies alone")
        axes.set(xlabel="step", ylabel="loss on masked words, nats")
        axes.set_title("What is learnt from context: the loss below the dashed line", fontsize=10)
        axes.legend()
    return path


def draw_probe(path: Path, rows: list[dict[str, str]]) -> Path:
    """Draws the accuracy of a linear classifier of sentiment on the encoder's vectors."""
    with picture(path, 7, 4) as figure:
        axes = figure.subplots()
        axes.plot(*points(rows, "probe/mean_accuracy"), "o-", label="mean of the vectors")
        axes.plot(*points(rows, "probe/cls_accuracy"), "s-", label="vector of [CLS]")
        axes.axhline(0.5, color="gray", linestyle="--", label="chance")
        axes.set(xlabel="step of pretraining", ylabel="accuracy of sentiment")
        axes.set_title("What a linear classifier reads from the encoder's vectors", fontsize=10)
        axes.legend()
    return path


def points(rows: list[dict[str, str]], column: str) -> Points:
    """Returns the steps and values of a column, of the rows that have it."""
    found = [(int(row["step"]), float(row[column])) for row in rows if row.get(column)]
    return [step for step, _ in found], [value for _, value in found]
