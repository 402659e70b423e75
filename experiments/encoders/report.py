"""Writes the table of README.md and the picture from results.json.

python -m experiments.encoders.report
"""

import json
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from experiments.equal_time import mean_and_deviation, of_seeds

FOLDER = Path(__file__).parent
COLUMNS = (
    ("pretraining", "validation/mlm_loss", "held-out MLM loss", 1.0, ".3f"),
    ("pretraining", "validation/nsp_accuracy", "next sentences, %", 100.0, ".1f"),
    ("sentiment", "validation/accuracy", "sentiment, %", 100.0, ".1f"),
    ("pos", "validation/accuracy", "parts of speech, %", 100.0, ".1f"),
)


def report(results: dict[str, Any], folder: Path) -> None:
    """Writes the table and the picture."""
    arms = results["arms"]
    titles = [title for _, _, title, _, _ in COLUMNS]
    header = ["block", "steps/s", "rate", *titles]
    lines = [row(header), "|" + "---|" * len(header)]
    for arm in arms.values():
        cells = [arm["title"], f"{arm['steps_per_second']:.1f}", f"{arm['learning_rate']:g}"]
        for stage, metric, _, factor, form in COLUMNS:
            mean, deviation = mean_and_deviation(of_seeds(arm, stage, metric))
            cells.append(f"{factor * mean:{form}} ± {factor * deviation:{form}}")
        lines.append(row(cells))
    readme = folder / "README.md"
    text, count = re.subn(
        r"(<!-- table -->\n).*?(<!-- end of table -->)",
        lambda found: found[1] + "\n".join(lines) + "\n" + found[2],
        readme.read_text(),
        flags=re.DOTALL,
    )
    assert count == 1, "README.md has no place for the table"
    readme.write_text(text)
    plot(arms, folder / "verdict.png")


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def plot(arms: dict[str, Any], path: Path) -> None:
    """Draws each seed as a dot, for every arm and metric."""
    figure, all_axes = plt.subplots(
        1, len(COLUMNS), figsize=(3 * len(COLUMNS), 3.2), sharey=True, layout="constrained"
    )
    names = list(arms)[::-1]
    for axes, (stage, metric, title, factor, _) in zip(all_axes, COLUMNS, strict=True):
        for place, name in enumerate(names):
            values = [factor * value for value in of_seeds(arms[name], stage, metric)]
            axes.plot(values, [place] * len(values), "o", color="#3b6ea5", alpha=0.7)
        base = mean_and_deviation(of_seeds(arms["bert"], stage, metric))[0]
        axes.axvline(factor * base, color="black", linewidth=0.8)
        axes.set_xlabel(title)
    all_axes[0].set_yticks(range(len(names)), [arms[name]["title"] for name in names])
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    report(json.loads((FOLDER / "results.json").read_text()), FOLDER)
