"""Converts examples to Arrow columns and back, by the types of their fields."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, Generic, NamedTuple, TypeVar, get_type_hints

import pyarrow as pa

T = TypeVar("T")


class _Kind(NamedTuple):
    """How values of a type are stored: the Arrow type, and the conversions if they are needed."""

    arrow: pa.DataType
    pack: Callable[[Any], Any] | None = None
    unpack: Callable[[Any], Any] | None = None


def _pack_id(value: str | int) -> str:
    return f'"{value}' if isinstance(value, str) else str(value)


def _unpack_id(text: str) -> str | int:
    return text[1:] if text.startswith('"') else int(text)


_KINDS: dict[Any, _Kind] = {
    str: _Kind(pa.string()),
    str | None: _Kind(pa.string()),
    int: _Kind(pa.int64()),
    int | None: _Kind(pa.int64()),
    float: _Kind(pa.float64()),
    float | None: _Kind(pa.float64()),
    bool: _Kind(pa.bool_()),
    str | int: _Kind(pa.string(), _pack_id, _unpack_id),
    tuple[str, ...]: _Kind(pa.list_(pa.string()), unpack=tuple),
    tuple[str | None, ...]: _Kind(pa.list_(pa.string()), unpack=tuple),
    tuple[int, ...]: _Kind(pa.list_(pa.int64()), unpack=tuple),
}


class ExampleColumns(Generic[T]):
    """The Arrow columns of a dataclass, one per field.

    Args:
        kind: The dataclass. `supports` tells whether it can be stored.
    """

    def __init__(self, kind: type[T]) -> None:
        self.kind = kind
        self._kinds = _kinds_of(kind)

    @staticmethod
    def supports(kind: type) -> bool:
        """Whether all fields of a dataclass have types that can be stored."""
        try:
            return all(hint in _KINDS for hint in _hints_of(kind).values())
        except (NameError, TypeError):
            # A type that only its own module can resolve, or one that is not hashable.
            return False

    def pack(self, examples: Sequence[T]) -> dict[str, pa.Array]:
        """Converts examples to columns.

        Raises:
            UnicodeEncodeError: A text is not valid Unicode.
        """
        columns = {}
        for name, kind in self._kinds.items():
            values = [getattr(example, name) for example in examples]
            columns[name] = pa.array(
                values if kind.pack is None else map(kind.pack, values), kind.arrow
            )
        return columns

    def unpack(self, batch: pa.RecordBatch) -> list[T]:
        """Converts columns to examples."""
        values = []
        for name, kind in self._kinds.items():
            column = batch.column(name).to_pylist()
            values.append(column if kind.unpack is None else map(kind.unpack, column))
        return [self.kind(*row) for row in zip(*values, strict=True)]


def _kinds_of(kind: type) -> dict[str, _Kind]:
    return {name: _KINDS[hint] for name, hint in _hints_of(kind).items()}


def _hints_of(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
