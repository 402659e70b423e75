"""Declares how the arrays of encoded rows belong to rows and sequences, so that they can be stored.

A field of a subclass of `EncodedRows` with this metadata, as in `field(metadata=per_row())`, is
stored in Arrow columns. The rows of a class with another field stay in memory.
"""

from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

_KEY = "clozekit"

Metadata = dict[str, Any]


class Axis(Enum):
    """What the first axis of an array counts."""

    ROW = "row"
    SEQUENCE = "sequence"
    ITEM = "item"
    """Items of sequences, whose number is in another field."""
    ARRAYS = "arrays"
    """A list with an array per sequence."""
    CONSTANT = "constant"
    """Not an array but a number, the same for all rows of a file."""


@dataclass(frozen=True)
class FieldLayout:
    """How a field is stored.

    Attributes:
        axis: What the first axis counts.
        dtype: The type in the file; None for the array's own. Integers are read as int64.
        sizes: The field with the number of items of each sequence.
        width: The size of the second axis of the arrays.
    """

    axis: Axis
    dtype: np.dtype[Any] | None = None
    sizes: str | None = None
    width: int = 1


def per_row(dtype: DTypeLike | None = None) -> Metadata:
    """Declares an array `[rows]` or `[rows, width]`."""
    return _declared(FieldLayout(Axis.ROW, _dtype(dtype)))


def per_sequence(dtype: DTypeLike | None = None) -> Metadata:
    """Declares an array `[sequences]`."""
    return _declared(FieldLayout(Axis.SEQUENCE, _dtype(dtype)))


def per_item(sizes: str, dtype: DTypeLike | None = None) -> Metadata:
    """Declares an array `[items]`; the field `sizes` has the number of items of each sequence."""
    return _declared(FieldLayout(Axis.ITEM, _dtype(dtype), sizes))


def arrays_per_sequence(dtype: DTypeLike, width: int) -> Metadata:
    """Declares a list of arrays `[items, width]`, one per sequence."""
    return _declared(FieldLayout(Axis.ARRAYS, _dtype(dtype), width=width))


def constant() -> Metadata:
    """Declares an integer that is the same for all rows of a file."""
    return _declared(FieldLayout(Axis.CONSTANT))


def layouts_of(kind: type, known: tuple[str, ...]) -> dict[str, FieldLayout] | None:
    """Returns the layout of each field of a dataclass but those of `known`.

    None if a field has no declared layout.
    """
    own = [field for field in fields(kind) if field.name not in known]
    if any(_KEY not in field.metadata for field in own):
        return None
    return {field.name: field.metadata[_KEY] for field in own}


def _declared(layout: FieldLayout) -> Metadata:
    return {_KEY: layout}


def _dtype(dtype: DTypeLike | None) -> np.dtype[Any] | None:
    return None if dtype is None else np.dtype(dtype)
