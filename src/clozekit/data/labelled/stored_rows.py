"""Encoded rows in a file: the rows of a batch are read when the batch is built."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Generic

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from clozekit.data.labelled.encoded_columns import (
    IS_TRUNCATED,
    LENGTHS,
    NUM_TARGETS,
    ChosenRows,
)
from clozekit.data.labelled.encoded_rows import EncodedRows, ExampleT
from clozekit.data.labelled.examples import StoredExamples
from clozekit.data.labelled.row_file import RowFile


class StoredRows(Generic[ExampleT]):
    """The rows of a split, with the attributes of `EncodedRows` that do not depend on the task.

    Args:
        file: The encoded rows of all examples of a file.
        kind: The class of the rows.
        examples: The examples of the split.

    Attributes:
        examples: The examples of the split.
        lengths: `[sequences]`, int32.
        num_targets: `[sequences]`, int32.
        num_truncated: The number of truncated rows.
    """

    def __init__(
        self,
        file: RowFile,
        kind: type[EncodedRows[ExampleT]],
        examples: StoredExamples[ExampleT],
    ) -> None:
        self.examples = examples
        self.splits_examples = kind.splits_examples
        self._chosen = ChosenRows(file, kind)
        counts, lengths, num_targets, is_truncated = _read_numbers(file)
        is_of_split = np.zeros(file.num_rows, bool)
        is_of_split[examples.places] = True
        of_split = np.repeat(is_of_split, counts)
        self.lengths = lengths[of_split]
        self.num_targets = num_targets[of_split]
        self.num_truncated = int(is_truncated[examples.places].sum())
        # None if each row has one sequence, to save memory with many rows.
        self._owners: NDArray[np.int32] | None = None
        if (counts != 1).any():
            rows = np.arange(len(examples), dtype=np.int32)
            self._owners = np.repeat(rows, counts[examples.places])

    @property
    def owners(self) -> NDArray[np.int32]:
        """`[sequences]`. The index in `examples` of each sequence's row."""
        if self._owners is None:
            return np.arange(len(self.lengths), dtype=np.int32)
        return self._owners

    def batch(self, chosen: NDArray[np.int64], epochs: NDArray[np.int64], is_training: bool) -> Any:
        """Builds a batch of the sequences `chosen` (see `EncodedRows.batch`)."""
        owners, within = chosen, np.zeros_like(chosen)
        if self._owners is not None:
            owners = self._owners[chosen].astype(np.int64)
            # The place of each sequence among those of its row is the same in the file.
            within = chosen - np.searchsorted(self._owners, owners)
        rows, numbers = np.unique(owners, return_inverse=True)
        read = self._read(rows, with_examples=not is_training)
        firsts = np.searchsorted(read.owners, np.arange(len(rows)))
        batch = read.batch(firsts[numbers] + within, epochs, is_training)
        sample_ids = np.stack([epochs, np.zeros_like(epochs), owners], axis=1)
        return replace(batch, sample_ids=torch.from_numpy(sample_ids))

    def whole(self) -> EncodedRows[ExampleT]:
        """Reads all rows into memory."""
        return self._read(np.arange(len(self.examples)), with_examples=True)

    def _read(self, rows: NDArray[Any], with_examples: bool) -> EncodedRows[ExampleT]:
        examples: Sequence[ExampleT] = ()
        if with_examples:
            examples = [self.examples[row] for row in rows.tolist()]
        return self._chosen.read(self.examples.places[rows], examples)


def _read_numbers(file: RowFile) -> tuple[NDArray[Any], ...]:
    """Returns the number of sequences of each row, the lengths, the targets and the truncations."""
    counts = np.concatenate([np.diff(part.offsets.to_numpy()) for part in file.column(LENGTHS)])
    num_sequences = int(counts.sum(dtype=np.int64))
    return (
        counts,
        _filled(np.empty(num_sequences, np.int32), (p.values for p in file.column(LENGTHS))),
        _filled(np.empty(num_sequences, np.int32), (p.values for p in file.column(NUM_TARGETS))),
        _filled(np.empty(file.num_rows, np.uint8), file.column(IS_TRUNCATED)),
    )


def _filled(values: NDArray[Any], parts: Iterable[pa.Array]) -> NDArray[Any]:
    """Fills an array with the parts of a column."""
    begin = 0
    for part in parts:
        values[begin : begin + len(part)] = part.to_numpy()
        begin += len(part)
    return values
