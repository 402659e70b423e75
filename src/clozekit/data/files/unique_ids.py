"""Refuses ids that occur twice, where predictions are written by id."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from clozekit.data.files.cells import RowError, as_id, is_missing, shown
from clozekit.data.files.row import BadRow, Rows


def with_unique_ids(rows: Rows, column: str | None) -> Rows:
    """Returns the same rows; one whose id occurred before is a bad row.

    Ids are compared as text, because files of predictions have them as text.

    Args:
        rows: The rows.
        column: The column of the ids; None if there are none.
    """
    if column is None:
        return rows
    return replace(rows, read=partial(_read, rows, column))


def _read(rows: Rows, column: str) -> Iterator[Mapping[str, Any] | BadRow]:
    places: dict[int, str] = {}
    for number, row in enumerate(rows.read(), start=1):
        if isinstance(row, BadRow):
            yield row
            continue
        value = row.get(column)
        # The id of a row without one is its index.
        row_id = number - 1 if is_missing(value) else value
        place = getattr(row, "place", f"{rows.unit} {number}")
        try:
            key = hash(str(as_id(row_id)))
        except RowError:
            # Whoever reads the row tells it.
            yield row
            continue
        if key in places:
            problem = f"the id {shown(row_id)} occurs twice, first at {places[key]}"
            yield BadRow(problem, place, getattr(row, "position", 0))
            continue
        places[key] = place
        yield row
