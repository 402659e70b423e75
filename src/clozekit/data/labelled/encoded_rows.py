"""Rows that were read, and rows encoded as sequences."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from clozekit.data.batch import Batch
from clozekit.data.labelled.sequences import Sequences
from clozekit.data.order import concatenated_ranges
from clozekit.data.packing import Packing


@dataclass(frozen=True)
class Example:
    """A row that was read. Tasks add their own fields.

    Attributes:
        id: The row's id, or its index if it has none.
    """

    id: str | int

    label_fields: ClassVar[frozenset[str]] = frozenset()
    """The fields that hold labels. All others but the id are inputs of the model."""

    def inputs(self) -> dict[str, Any]:
        """Returns the inputs by the names of their fields, without those that are null."""
        return self._fields(is_label=False)

    def labels_by_field(self) -> dict[str, Any]:
        """Returns the labels by the names of their fields, without those that are null."""
        return self._fields(is_label=True)

    def _fields(self, is_label: bool) -> dict[str, Any]:
        names = (field.name for field in fields(self) if field.name != "id")
        chosen = (name for name in names if (name in self.label_fields) == is_label)
        values = {name: getattr(self, name) for name in chosen}
        return {name: value for name, value in values.items() if value is not None}


ExampleT = TypeVar("ExampleT", bound=Example)


@dataclass(frozen=True)
class EncodedRows(ABC, Generic[ExampleT]):
    """The rows of a split as sequences. Tasks add their targets.

    Attributes:
        examples: The rows.
        sequences: The sequences of all rows, concatenated; those of one row are adjacent.
        owners: `[sequences]`. The index in `examples` of each sequence's row.
        num_targets: `[sequences]`. The number of targets of each sequence; the loss is averaged
            over targets.
        is_truncated: `[rows]`, bool. Whether a row was truncated.
    """

    examples: Sequence[ExampleT]
    sequences: Sequences
    owners: NDArray[np.int64]
    num_targets: NDArray[np.int64]
    is_truncated: NDArray[np.bool_]

    splits_examples: ClassVar[bool] = True
    """Whether training may put the sequences of an example into different batches."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """`[sequences]`. The length of each sequence."""
        return self.sequences.lengths

    @property
    def num_truncated(self) -> int:
        """The number of truncated rows."""
        return int(self.is_truncated.sum())

    def batch(self, chosen: NDArray[np.int64], epochs: NDArray[np.int64], is_training: bool) -> Any:
        """Builds a batch of the sequences `chosen`; in evaluation, it includes their rows.

        Args:
            chosen: `[batch]`, the indices of the sequences.
            epochs: `[batch]`, the epoch of each sequence.
            is_training: Whether the batch is for training.
        """
        sequences = self.sequences
        lengths = sequences.lengths[chosen]
        begins = np.cumsum(sequences.lengths) - sequences.lengths
        places = concatenated_ranges(begins[chosen], lengths)
        owners = self.owners[chosen]
        examples = () if is_training else tuple(self.examples[i] for i in np.unique(owners))
        common = {
            "input_ids": torch.from_numpy(sequences.input_ids[places].astype(np.int64)),
            "token_type_ids": torch.from_numpy(sequences.token_type_ids[places].astype(np.int64)),
            "packing": Packing.from_lengths(lengths),
            "sample_ids": torch.from_numpy(
                np.stack([epochs, np.zeros_like(owners), owners], axis=1)
            ),
            "examples": examples,
        }
        return self.targets(chosen, common)

    @abstractmethod
    def targets(self, chosen: NDArray[np.int64], common: dict[str, Any]) -> Batch:
        """Builds the task's batch from the common fields and the targets of `chosen`."""
