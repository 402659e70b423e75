"""The interface by which a task defines how rows are read and encoded as sequences."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from clozekit.config.checking import checked
from clozekit.config.reading import Reading
from clozekit.corpus.vocabulary import SpecialTokens
from clozekit.data.batch import Batch
from clozekit.data.files.cells import RowError as RowError
from clozekit.data.files.cells import as_id, as_text, is_missing
from clozekit.data.files.rows import Rows, read_file, read_split
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
        num_truncated: The number of truncated rows.
    """

    examples: Sequence[ExampleT]
    sequences: Sequences
    owners: NDArray[np.int64]
    num_targets: NDArray[np.int64]
    num_truncated: int

    splits_examples: ClassVar[bool] = True
    """Whether training may put the sequences of an example into different batches."""

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


class Features(ABC, Generic[ExampleT]):
    """Reads the rows of a task and encodes them as sequences.

    Args:
        tokenizer: The tokenizer. It is copied.
        **options: The options declared in `config_class`.

    Attributes:
        config: The options.
        label_names: The classes in the order of their ids; None before `learn_labels`.
    """

    config_class: ClassVar[type[Reading]]
    config: Reading
    label_names: list[str] | None = None

    def __init__(self, tokenizer: Tokenizer, **options: Any) -> None:
        self.config = checked("data", self.config_class, options)
        self.tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.special_tokens = SpecialTokens.from_tokenizer(self.tokenizer)
        self.max_seq_length = self.config.max_seq_length

    @property
    @abstractmethod
    def input_columns(self) -> list[str]:
        """The columns needed for prediction."""

    @property
    @abstractmethod
    def label_columns(self) -> list[str]:
        """The columns needed in addition for training and evaluation."""

    @property
    def optional_columns(self) -> list[str]:
        """The columns that are read if they are there, such as that of the ids."""
        return [] if self.config.id_column is None else [self.config.id_column]

    @property
    def columns(self) -> list[str]:
        """All columns that are read."""
        return [*self.input_columns, *self.label_columns, *self.optional_columns]

    @abstractmethod
    def example(self, row: Mapping[str, Any], number: int, is_labelled: bool) -> ExampleT | None:
        """Reads a row.

        Args:
            row: The row's values by column.
            number: The row's index, from 0.
            is_labelled: Whether the label is read.

        Returns:
            The example, or None if its label is missing.

        Raises:
            RowError: A value cannot be used.
        """

    def read_rows(self, source: str) -> Rows:
        """Reads a file. Tasks may support more formats.

        Raises:
            DataError: The file cannot be read.
        """
        return read_file(source, self.columns)

    def read_split(self, path: str, name: str | None, split: str) -> Rows:
        """Reads a split of a data set.

        Raises:
            DataError: It does not exist or cannot be read.
        """
        return read_split(path, name, split)

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        """Makes a row for prediction from one or two texts.

        Raises:
            RowError: The rows of the task cannot be made from texts.
        """
        raise RowError(
            f"this task needs rows with the columns {', '.join(self.input_columns)}; put them in a "
            "file and set input to its path"
        )

    def learn_labels(
        self, examples: Sequence[ExampleT], class_names: Mapping[str, list[str]]
    ) -> None:
        """Sets the classes from the data set's declaration or the training rows."""
        return

    def check_labels(self, example: ExampleT) -> None:
        """Checks that an example's label occurs in the training rows.

        Raises:
            RowError: It does not occur there.
        """
        return

    @abstractmethod
    def encode(self, examples: Sequence[ExampleT], is_labelled: bool) -> EncodedRows[ExampleT]:
        """Encodes examples as sequences and targets.

        Args:
            examples: The examples.
            is_labelled: Whether they have labels. If not, the targets are placeholders.
        """

    def strata(self, examples: Sequence[ExampleT]) -> list[str]:
        """Returns the stratum of each example; validation takes the same share of each stratum."""
        return [""] * len(examples)

    def groups(self, examples: Sequence[ExampleT]) -> list[Hashable]:
        """Returns the group of each example; a group stays in one split."""
        return list(range(len(examples)))

    def task_arguments(self) -> dict[str, Any]:
        """Returns arguments of the task's constructor that depend on the rows."""
        return {}

    def row_id(self, row: Mapping[str, Any], number: int) -> str | int:
        """Returns a row's id, or its index if it has none."""
        column = self.config.id_column
        value = None if column is None else row.get(column)
        return number if is_missing(value) else as_id(value)

    def text(self, row: Mapping[str, Any], column: str) -> str:
        """Returns the text in a column of a row. That of null is empty.

        Raises:
            RowError: The row lacks the column, or the value is not text.
        """
        if column not in row:
            raise RowError(f"there is no {column!r}; the row has {', '.join(row) or 'no columns'}")
        return self.checked_text(as_text(row[column], column), column)

    def checked_text(self, text: str, column: str) -> str:
        """Returns a text.

        Raises:
            RowError: It is empty and empty texts are not allowed.
        """
        if not self.config.allow_empty_text and not text.strip():
            raise RowError(f"{column} is empty, and data.allow_empty_text=false")
        return text

    def has_empty_text(self, example: ExampleT) -> bool:
        """Whether an example has an empty text; such rows are counted."""
        return False


def unknown_label(label: str, label_names: Sequence[str]) -> RowError:
    """Makes the error for a label that does not occur in the training rows."""
    shown = ", ".join(label_names[:20]) + (", …" if len(label_names) > 20 else "")
    return RowError(f"the label {label!r} does not occur in the training rows, which have {shown}")
