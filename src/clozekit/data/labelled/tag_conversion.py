"""The scheme of the tags in a file, and the one that they are converted to."""

from collections.abc import Iterator, Sequence
from typing import Any

from clozekit.config.reading import TaggingReading
from clozekit.data.files.cells import RowError, as_name, is_missing, items_in
from clozekit.data.files.rows import Rows
from clozekit.metrics.tag_schemes import (
    IOB1,
    IOB2,
    SCHEMES,
    Scheme,
    is_iob1,
    recognised,
    scheme_of_labels,
)

Conversion = tuple[Scheme, Scheme]
"""The scheme of the tags, and the one that they are converted to."""


def conversion_of_file(
    rows: Rows, config: TaggingReading, label_names: Sequence[str] | None
) -> Conversion | None:
    """Finds out whether the tags of a file have to be converted.

    Args:
        rows: The file.
        config: How it is read.
        label_names: The tags of the model, which decide to what is converted. None for training
            rows, of which only those in IOB1 are converted: to IOB2.

    Returns:
        The conversion; None if the tags stay as they are.
    """
    wanted = IOB2 if label_names is None else scheme_of_labels(label_names)
    if config.tag_scheme == "none" or wanted is None:
        return None
    if config.tag_scheme != "auto":
        given: Scheme | None = IOB1 if config.tag_scheme == "iob1" else SCHEMES[config.tag_scheme]
    elif config.tags_column in rows.columns:
        given = _scheme_of_tags(rows, config.tags_column, None if label_names is None else wanted)
    else:
        given = None
    if given is None or given is wanted or (label_names is None and given is not IOB1):
        return None
    return given, wanted


def _scheme_of_tags(rows: Rows, column: str, wanted: Scheme | None) -> Scheme | None:
    """Returns the scheme of a file's tags, as far as it matters for a model in `wanted`."""
    names: set[str] = set()

    def sentences() -> Iterator[list[str | None]]:
        for _, row in rows:
            tags = _tags(row.get(column), column)
            names.update(tag for tag in tags if tag is not None)
            yield tags

    remaining = sentences()
    may_be_iob1 = is_iob1(remaining)
    if wanted is None and not may_be_iob1:
        return None
    # The scheme is that of all tags of the file.
    for _ in remaining:
        pass
    found = recognised(names)
    return IOB1 if found is IOB2 and may_be_iob1 else found


def _tags(value: Any, column: str) -> list[str | None]:
    """Returns the tags of a row; none if they cannot be read, which is told when the row is."""
    if is_missing(value):
        return []
    try:
        tags = items_in(value, column)
        return [None if is_missing(tag) else as_name(tag) for tag in tags]
    except RowError:
        return []
