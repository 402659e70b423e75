"""What a task has to say of its rows: how one is read, and how rows become sequences."""

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
from clozekit.data.files.rows import Rows, read_file
from clozekit.data.labelled.sequences import Sequences
from clozekit.data.order import concatenated_ranges
from clozekit.data.packing import Packing


class RowError(ValueError):
    """A row cannot be used; the message says what it has and what is needed."""


@dataclass(frozen=True)
class Example:
    """A row that was read. A task adds what it needs.

    Attributes:
        id: The row's id, or its number from 0.
    """

    id: str | int


ExampleT = TypeVar("ExampleT", bound=Example)


@dataclass(frozen=True)
class EncodedRows(ABC, Generic[ExampleT]):
    """The rows of a split as sequences. A task adds its targets.

    Attributes:
        examples: The rows.
        sequences: All rows' sequences, laid end to end, a row's next to each other.
        owners: `[sequences]`. The place among `examples` of every sequence's row.
        num_targets: `[sequences]`. What the loss is averaged over, in every sequence.
        num_truncated: How many rows were cut to fit.
    """

    examples: Sequence[ExampleT]
    sequences: Sequences
    owners: NDArray[np.int64]
    num_targets: NDArray[np.int64]
    num_truncated: int

    splits_examples: ClassVar[bool] = True
    """Whether training may read an example's sequences apart."""

    def batch(self, chosen: NDArray[np.int64], epochs: NDArray[np.int64], is_training: bool) -> Any:
        """Makes the batch of the sequences `chosen`, `[batch]`; in evaluation with their rows.

        Args:
            chosen: `[batch]`, the sequences.
            epochs: `[batch]`, the epoch that each of them is read in.
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
        """Makes the task's batch of what every batch has and the targets of `chosen`."""


class Features(ABC, Generic[ExampleT]):
    """How a task reads rows and turns them into sequences.

    Args:
        tokenizer: What text is read with.
        **options: They are declared in `config_class`.

    Attributes:
        config: The options.
        label_names: The classes in the order of their ids; None until they are known.
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
        """The columns that a row needs to be predicted on."""

    @property
    @abstractmethod
    def label_columns(self) -> list[str]:
        """The columns that a row needs beside them to be learnt from."""

    @abstractmethod
    def example(self, row: Mapping[str, Any], number: int, is_labelled: bool) -> ExampleT | None:
        """Reads a row.

        Args:
            row: The row's values by their columns.
            number: Its number from 0.
            is_labelled: Whether the label is read.

        Returns:
            The example; None of a row whose label is missing.

        Raises:
            RowError: A value cannot be used.
        """

    def read_rows(self, source: str) -> Rows:
        """Reads a file; a task may know more formats.

        Raises:
            DataError: The file cannot be read.
        """
        return read_file(source)

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        """Makes a row to predict on of a text, or of two.

        Raises:
            RowError: The task's rows are not so simple.
        """
        raise RowError(
            f"rows of this task have {', '.join(self.input_columns)}: give them in a file, input=…"
        )

    def learn_labels(
        self, examples: Sequence[ExampleT], class_names: Mapping[str, list[str]]
    ) -> None:
        """Finds the classes in the training rows, or among those that the data set names."""
        return

    def check_labels(self, example: ExampleT) -> None:
        """Checks that an example's label is one of the training rows'.

        Raises:
            RowError: It is not.
        """
        return

    @abstractmethod
    def encode(self, examples: Sequence[ExampleT], is_labelled: bool) -> EncodedRows[ExampleT]:
        """Turns examples into sequences and targets.

        Args:
            examples: The examples.
            is_labelled: Whether they have labels; without, targets mean nothing.
        """

    def strata(self, examples: Sequence[ExampleT]) -> list[str]:
        """Gives of every example the group that a split takes the same share of."""
        return [""] * len(examples)

    def groups(self, examples: Sequence[ExampleT]) -> list[Hashable]:
        """Gives of every example what it shares with those that a split does not part it from."""
        return list(range(len(examples)))

    def task_arguments(self) -> dict[str, Any]:
        """Gives what the task has to know of the rows, as arguments of its constructor."""
        return {}

    def row_id(self, row: Mapping[str, Any], number: int) -> str | int:
        """Gives a row's id, or its number where it has none."""
        column = self.config.id_column
        if column is None or row.get(column) is None:
            return number
        value = row[column]
        return value if isinstance(value, str | int) else str(value)

    def text(self, row: Mapping[str, Any], column: str) -> str:
        """Gives a row's text.

        Raises:
            RowError: It is not text.
        """
        value = row.get(column)
        if not isinstance(value, str):
            raise RowError(f"{column} is {value!r}, where a text is needed")
        return value


def unknown_label(label: str, label_names: Sequence[str]) -> RowError:
    """Makes the error of a label that the training rows lack."""
    shown = ", ".join(label_names[:20]) + (", …" if len(label_names) > 20 else "")
    return RowError(f"the label {label!r} is not one of the training rows', {shown}")
