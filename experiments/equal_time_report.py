"""The table and the picture of runs that are compared at an equal training time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from experiments.equal_time import mean_and_deviation, of_seeds
from experiments.pages import replaced, row


@dataclass(frozen=True)
class Column:
    """A metric of a stage, which is `pretraining` or the name of a task."""

    stage: str
    metric: str
    title: str
    factor: float = 1.0
    form: str = ".3f"

    def cell(self, values: Sequence[float]) -> str:
        """Writes the mean, and the sample standard deviation of more than one value."""
        mean, deviation = mean_and_deviation(values)
        written = f"{self.factor * mean:{self.form}}"
        return f"{written} ± {self.factor * deviation:{self.form}}" if len(values) > 1 else written


HELD_OUT = Column("pretraining", "validation/mlm_loss", "held-out MLM loss")
NEXT_SENTENCES = Column("pretraining", "validation/nsp_accuracy", "next sentences, %", 100.0, ".1f")
SENTIMENT = Column("sentiment", "validation/accuracy", "sentiment, %", 100.0, ".1f")


def report(
    results: dict[str, Any], folder: Path, columns: Sequence[Column], name: str = "table"
) -> None:
    """Writes a table into README.md and a picture beside it.

    Args:
        results: What `equal_time.run_all` returned, by arm. The first is what others are compared
            with.
        folder: The experiment's.
        columns: What is shown.
        name: The table's place in README.md, and the picture's name.
    """
    readme = folder / "README.md"
    readme.write_text(replaced(readme.read_text(), name, table(results, columns)))
    plot(results, columns, folder / f"{name}.png")


def table(results: dict[str, Any], columns: Sequence[Column]) -> str:
    """Writes a row for each arm, with the number of its seeds where these differ."""
    numbers = [len(arm["seeds"]) for arm in results.values()]
    has_numbers = len(set(numbers)) > 1
    of_runs = ["steps/s", "learning rate", *(["seeds"] if has_numbers else [])]
    header = ["arm", *of_runs, *(column.title for column in columns)]
    lines = [row(*header), "|" + "---|" * len(header)]
    for arm in results.values():
        cells = [arm["title"], f"{arm['steps_per_second']:.1f}", f"{arm['learning_rate']:g}"]
        cells += [str(len(arm["seeds"]))] if has_numbers else []
        cells += [column.cell(of_seeds(arm, column.stage, column.metric)) for column in columns]
        lines.append(row(*cells))
    return "\n".join(lines)


def plot(arms: dict[str, Any], columns: Sequence[Column], path: Path) -> None:
    """Draws each seed as a dot, for every arm and metric, and a line at the first arm's mean."""
    names = list(arms)[::-1]
    figure, all_axes = plt.subplots(
        1,
        len(columns),
        figsize=(3 * len(columns) + 2, 0.3 * len(names) + 1.2),
        sharey=True,
        layout="constrained",
        squeeze=False,
    )
    for axes, column in zip(all_axes[0], columns, strict=True):
        for place, name in enumerate(names):
            values = of_seeds(arms[name], column.stage, column.metric)
            scaled = [column.factor * value for value in values]
            axes.plot(scaled, [place] * len(values), "o", color="#3b6ea5", alpha=0.7)
        base = mean_and_deviation(of_seeds(arms[names[-1]], column.stage, column.metric))[0]
        axes.axvline(column.factor * base, color="black", linewidth=0.8)
        axes.set_xlabel(column.title)
    all_axes[0][0].set_yticks(range(len(names)), [arms[name]["title"] for name in names])
    figure.savefig(path, dpi=120)
    plt.close(figure)
