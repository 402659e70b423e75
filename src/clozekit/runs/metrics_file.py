"""Reads a run's history from `metrics.csv`, without importing torch."""

import csv
import io
import math
from collections import defaultdict
from pathlib import Path

from clozekit.documents import read_json_object
from clozekit.errors import DataError

STEP = "step"

Series = dict[str, tuple[list[int], list[float]]]


def read_metrics_of(results_file: Path) -> dict[str, float]:
    """Reads the final metrics of a run; returns an empty dict if there is no file.

    Null stands for a value that is not finite, which JSON does not have.

    Raises:
        DataError: The file cannot be read, or a value is not a number.
    """
    results = read_json_object(results_file)
    metrics: dict[str, float] = {}
    for name, value in results.items():
        if not isinstance(value, int | float | None):
            raise DataError(f"{results_file} cannot be read: {name} is not a number")
        try:
            metrics[name] = math.nan if value is None else float(value)
        except OverflowError as error:
            raise DataError(f"{results_file} cannot be read: {name} is too large") from error
    return metrics


def read_rows(path: Path) -> list[dict[str, str]]:
    """Reads the whole rows of a history; returns an empty list if there is no file.

    A row that a killed process or a full disk left incomplete is dropped.

    Raises:
        DataError: The file is not a history.
    """
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        columns, *rows = list(csv.reader(io.StringIO(whole, newline=""))) or [[STEP]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a run's history: {error}") from error
    if STEP not in columns:
        raise DataError(f"{path} is not a run's history: it has no column {STEP!r}")
    named = [dict(zip(columns, row, strict=True)) for row in rows if len(row) == len(columns)]
    return [row for row in named if _is_whole(row)]


def _is_whole(row: dict[str, str]) -> bool:
    try:
        int(row[STEP])
        [float(value) for value in row.values() if value]
    except ValueError:
        return False
    return True


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
