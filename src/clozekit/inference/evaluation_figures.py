"""Scores and plots of an evaluation: confusion matrix, precision and recall."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clozekit.output.figures import label_of, picture

Confusion = tuple[Sequence[str], NDArray[np.int64]]
"""The classes, and how often each gold class was predicted as each class: `[gold, predicted]`."""

MOST_CLASSES = 60
"""The number of classes in a plot. If there are more, the most frequent ones are drawn."""

MOST_CLASSES_WITH_NUMBERS = 20
"""Larger confusion matrices show colours only."""


def confusion_counts(
    golds: Sequence[str], predictions: Sequence[str], label_names: Sequence[str]
) -> NDArray[np.int64]:
    """Returns the confusion matrix, `[gold, predicted]`."""
    ids = {name: index for index, name in enumerate(label_names)}
    counts = np.zeros((len(ids), len(ids)), np.int64)
    rows = [ids[gold] for gold in golds]
    columns = [ids[predicted] for predicted in predictions]
    np.add.at(counts, (rows, columns), 1)
    return counts


def scores_of_counts(right: int, predicted: int, gold: int) -> dict[str, float]:
    """Returns precision, recall, F1 and support; a score with a zero denominator is 0."""
    return {
        "precision": right / predicted if predicted else 0.0,
        "recall": right / gold if gold else 0.0,
        "f1": 2 * right / (predicted + gold) if predicted + gold else 0.0,
        "support": gold,
    }


def per_class(counts: NDArray[np.int64], label_names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Returns precision, recall, F1 and the number of examples per class."""
    return {
        name: scores_of_counts(int(counts[i, i]), int(counts[:, i].sum()), int(counts[i, :].sum()))
        for i, name in enumerate(label_names)
    }


def per_label(
    golds: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], label_names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Returns the scores of `per_class` for multi-label examples."""
    scores = {}
    for name in label_names:
        has, is_given = ([name in labels for labels in each] for each in (golds, predictions))
        right = sum(a and b for a, b in zip(has, is_given, strict=True))
        scores[name] = scores_of_counts(right, sum(is_given), sum(has))
    return scores


def plot_confusion(counts: NDArray[np.int64], label_names: Sequence[str], path: Path) -> None:
    """Plots the confusion matrix, coloured by the share of each gold class."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    chosen = _most_frequent(counts.sum(axis=1) + counts.sum(axis=0))
    counts, shares = counts[np.ix_(chosen, chosen)], shares[np.ix_(chosen, chosen)]
    labels, size = _labels(label_names, chosen), _size(2.5 + 0.45 * len(chosen))
    with picture(path, size, size) as figure:
        axes = figure.subplots()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        places = range(len(labels))
        axes.set(xlabel="predicted", ylabel="gold", xticks=places, yticks=places)
        axes.set_xticklabels(labels, rotation=_rotation(labels))
        axes.set_yticklabels(labels)
        axes.set_title(_title(len(label_names)))
        if len(labels) <= MOST_CLASSES_WITH_NUMBERS:
            for (row, column), count in np.ndenumerate(counts):
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour)
        figure.colorbar(image, label="share of the gold class")


def plot_classes(scores: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Plots precision and recall per class."""
    every = list(scores.values())
    chosen = _most_frequent(np.array([of_class.get("support", 0) for of_class in every]))
    labels, places = _labels(list(scores), chosen), np.arange(len(chosen))
    with picture(path, _size(2.5 + 0.4 * len(chosen)), 4.5) as figure:
        axes = figure.subplots()
        for offset, name in ((-0.2, "precision"), (0.2, "recall")):
            shares = [every[index][name] for index in chosen]
            axes.bar(places + offset, shares, 0.4, label=name)
        axes.set(ylim=(0, 1), xticks=places, ylabel="share", title=_title(len(scores)))
        axes.set_xticklabels(labels, rotation=_rotation(labels))
        axes.grid(axis="y", alpha=0.3)
        axes.legend()


def plot_scores(golds: Sequence[float], predictions: Sequence[float], path: Path) -> None:
    """Plots predicted scores against gold scores."""
    with picture(path, 5, 5) as figure:
        axes = figure.subplots()
        axes.scatter(golds, predictions, s=12, alpha=0.5)
        axes.axline((0, 0), slope=1, color="grey", linewidth=1)
        axes.set(xlabel="gold", ylabel="predicted")
        axes.grid(alpha=0.3)


def _most_frequent(frequencies: NDArray[Any]) -> list[int]:
    """Returns the indices of the most frequent classes, in their order."""
    by_frequency = np.argsort(-frequencies, kind="stable")
    return sorted(by_frequency[:MOST_CLASSES].tolist())


def _title(number: int) -> str:
    return f"the {MOST_CLASSES} most frequent of {number:,}" if number > MOST_CLASSES else ""


def _labels(names: Sequence[str], chosen: Sequence[int]) -> list[str]:
    return [label_of(names[index]) for index in chosen]


def _size(inches: float) -> float:
    return min(max(inches, 5), 24)


def _rotation(labels: Sequence[str]) -> int:
    return 90 if len(labels) > 5 or max(map(len, labels), default=0) > 12 else 0
