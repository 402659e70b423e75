"""Reads a run's history from `metrics.csv`, without importing torch."""

import csv
from collections import defaultdict
from pathlib import Path

STEP = "step"

Series = dict[str, tuple[list[int], list[float]]]


def read_rows(path: Path) -> list[dict[str, str]]:
    """Reads the complete rows of a history; returns an empty list if there is no file."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    return list(csv.DictReader(whole.splitlines()))


def read_metrics(path: Path) -> list[tuple[int, dict[str, float]]]:
    """Reads a history as a list of steps, each with its metrics."""
    return [
        (
            int(row[STEP]),
            {name: float(value) for name, value in row.items() if name != STEP and value},
        )
        for row in read_rows(path)
    ]


def read_series(path: Path) -> Series:
    """Reads a history as the steps and values of each metric."""
    series: Series = defaultdict(lambda: ([], []))
    for step, metrics in read_metrics(path):
        for name, value in metrics.items():
            steps, values = series[name]
            steps.append(step)
            values.append(value)
    return dict(series)
