"""The rows of a file, stored as Arrow columns and made into objects when they are used."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, Generic, TypeVar, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clozekit.data.labelled.encoded_rows import ExampleT
from clozekit.data.labelled.example_columns import ExampleColumns
from clozekit.data.labelled.features import Features
from clozekit.data.labelled.row_file import CHUNK_ROWS, RowFile
from clozekit.rng import hash_text

DTypeT = TypeVar("DTypeT", bound=np.generic)

_STRATUM, _GROUP, _IS_EMPTY = "#stratum", "#group", "#is_empty"


class StoredExamples(Sequence[ExampleT], Generic[ExampleT]):
    """Examples in Arrow columns. Those that are asked for are made anew each time.

    Args:
        file: The columns of all examples of a file.
        columns: Converts the columns to examples.
        places: `[rows]`, int32, ascending. The examples in this sequence; None for all.
    """

    def __init__(
        self,
        file: RowFile,
        columns: ExampleColumns[ExampleT],
        places: NDArray[np.int32] | None = None,
    ) -> None:
        self.file = file
        self.columns = columns
        self.places = np.arange(file.num_rows, dtype=np.int32) if places is None else places

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, place: int) -> ExampleT: ...
    @overload
    def __getitem__(self, place: slice) -> "StoredExamples[ExampleT]": ...

    def __getitem__(self, place: int | slice) -> "ExampleT | StoredExamples[ExampleT]":
        if isinstance(place, slice):
            return StoredExamples(self.file, self.columns, self.places[place])
        number = int(self.places[place])
        row = self.file.chunk(number // CHUNK_ROWS).slice(number % CHUNK_ROWS, 1)
        (example,) = self.columns.unpack(row)
        self.file.note_reads(1)
        return example

    def __iter__(self) -> Iterator[ExampleT]:
        for part in self.parts(CHUNK_ROWS):
            yield from part

    def parts(self, size: int) -> Iterator[list[ExampleT]]:
        """Yields the examples in lists of at most `size`, in their order."""
        chunks = self.places // CHUNK_ROWS
        bounds = [0, *(np.flatnonzero(np.diff(chunks)) + 1).tolist(), len(chunks)]
        for begin, end in pairwise(bounds):
            for first in range(begin, end, size):
                within = self.places[first : min(first + size, end)]
                chunk = self.file.chunk(int(within[0]) // CHUNK_ROWS)
                yield self.columns.unpack(chunk.take(pa.array(within % CHUNK_ROWS)))
                self.file.note_reads(len(within))

    def strata(self) -> NDArray[np.int32]:
        """Returns `[rows]`: a number for the stratum of each example."""
        codes: dict[str, int] = {}

        def codes_of(part: pa.Array) -> NDArray[np.int32]:
            encoded = part.dictionary_encode()
            names = encoded.dictionary.to_pylist()
            of_names = np.array([codes.setdefault(name, len(codes)) for name in names], np.int32)
            indices: NDArray[np.int32] = encoded.indices.to_numpy()
            return of_names[indices]

        return self._of_rows(_STRATUM, codes_of, np.int32)

    def groups(self) -> NDArray[np.uint64] | None:
        """Returns `[rows, groups]`: hashes of the groups of each example; None without groups."""
        names = [name for name in self.file.schema.names if name.startswith(_GROUP)]
        if not names:
            return None
        columns = [self._of_rows(name, pa.Array.to_numpy, np.uint64) for name in names]
        return np.stack(columns, axis=1)

    def num_empty(self) -> int:
        """Returns the number of examples with an empty text."""
        return int(self._of_rows(_IS_EMPTY, _bytes_of, np.bool_).sum())

    def _of_rows(
        self, name: str, convert: Callable[[pa.Array], NDArray[Any]], dtype: type[DTypeT]
    ) -> NDArray[DTypeT]:
        """Returns `[rows]`: a column of the examples, converted part by part."""
        values = np.empty(self.file.num_rows, dtype)
        for number, part in enumerate(self.file.column(name)):
            begin = number * CHUNK_ROWS
            values[begin : begin + len(part)] = convert(part)
        return values if len(self.places) == len(values) else values[self.places]


def _bytes_of(bits: pa.Array) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = bits.to_numpy(zero_copy_only=False)
    return found


def packed(
    examples: Iterator[ExampleT], features: Features[ExampleT], columns: ExampleColumns[ExampleT]
) -> Iterator[pa.RecordBatch]:
    """Yields examples as Arrow columns in chunks, with what is counted or drawn of them."""
    while part := list(islice(examples, CHUNK_ROWS)):
        more = {
            _STRATUM: pa.array(features.strata(part), pa.string()),
            _IS_EMPTY: pa.array(map(features.has_empty_text, part), pa.bool_()),
        }
        groups = features.groups(part)
        if groups is not None:
            for number, column in enumerate(hashes_of_groups(groups).T):
                more[f"{_GROUP}{number}"] = pa.array(column)
        yield pa.record_batch({**columns.pack(part), **more})


def hashes_of_groups(groups: Sequence[tuple[Hashable, ...]]) -> NDArray[np.uint64]:
    """Returns `[examples, groups]`: the groups of each example, hashed to numbers."""
    hashes = [[hash_text(repr(group)) for group in of_example] for of_example in groups]
    return np.array(hashes, np.uint64)


def subset(examples: Sequence[ExampleT], is_chosen: NDArray[np.bool_]) -> Sequence[ExampleT]:
    """Returns the examples for which `is_chosen` is true."""
    places = np.flatnonzero(is_chosen)
    if isinstance(examples, StoredExamples):
        return StoredExamples(examples.file, examples.columns, examples.places[places])
    return [examples[place] for place in places.tolist()]


def strata_of(examples: Sequence[ExampleT], features: Features[ExampleT]) -> NDArray[Any]:
    """Returns `[rows]`: a value for the stratum of each example."""
    if isinstance(examples, StoredExamples):
        return examples.strata()
    return np.array(features.strata(examples))


def groups_of(
    examples: Sequence[ExampleT], features: Features[ExampleT]
) -> NDArray[np.uint64] | None:
    """Returns `[rows, groups]`: hashes of the groups of each example; None without groups."""
    if isinstance(examples, StoredExamples):
        return examples.groups()
    groups = features.groups(examples)
    return None if groups is None else hashes_of_groups(groups)


def num_empty(examples: Sequence[ExampleT], features: Features[ExampleT]) -> int:
    """Returns the number of examples with an empty text."""
    if isinstance(examples, StoredExamples):
        return examples.num_empty()
    return sum(map(features.has_empty_text, examples))
