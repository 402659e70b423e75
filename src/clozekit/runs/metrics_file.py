"""Reads a run's history from `metrics.csv`, without importing torch."""

import csv
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

    A row is one line. One that a killed process or a full disk left incomplete is dropped. Text is
    in quotes, so that what is left of a number is not taken for it.

    Raises:
        DataError: The file is not a history.
    """
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8")
        header, *lines = text[: text.rfind("\n") + 1].split("\n")
        csv.field_size_limit(max(csv.field_size_limit(), len(text)))
        columns = next(csv.reader([header])) or [STEP]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a run's history: {error}") from error
    if STEP not in columns:
        raise DataError(f"{path} is not a run's history: it has no column {STEP!r}")
    rows = (_row(line, columns) for line in lines)
    return [row for row in rows if row is not None]


def _row(line: str, columns: list[str]) -> dict[str, str] | None:
    try:
        cells = next(csv.reader([line], strict=True))
        if len(cells) != len(columns):
            return None
        # It raises an error for text without quotes.
        next(csv.reader([line], strict=True, quoting=csv.QUOTE_NONNUMERIC))
        row = dict(zip(columns, cells, strict=True))
        int(row[STEP])
    except (csv.Error, ValueError):
        return None
    return row


def number_in(cell: str) -> float | None:
    """Returns the number that a cell of a history has; None if it is empty or has text."""
    try:
        return float(cell)
    except ValueError:
        return None


def read_metrics(path: Path) -> list[tuple[int, dict[str, float]]]:
    """Reads a history as a list of steps, each with its metrics; text is left out."""
    return [
        (
            int(row[STEP]),
            {
                name: number
                for name, value in row.items()
                if name != STEP and (number := number_in(value)) is not None
            },
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
