"""Multiple choice: rows with a context, a question and choices, one of which is right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from clozekit.config.data import MultipleChoiceDataConfig
from clozekit.config.reading import MultipleChoiceReading
from clozekit.data.batch import MultipleChoiceBatch
from clozekit.data.files.cells import as_index, as_text, list_in, shown
from clozekit.data.files.rows import is_missing
from clozekit.data.labelled.encoded_rows import EncodedRows, Example
from clozekit.data.labelled.features import Features, RowError
from clozekit.data.labelled.fields import constant, per_row
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.labelled.sequences import lay_out, token_ids, truncated


@dataclass(frozen=True)
class ChoiceQuestion(Example):
    """A question with its choices.

    Attributes:
        context: The context; the first segment of every sequence.
        choices: The second segment for each choice: the question, if any, and the choice.
        label: The index of the right choice.
    """

    context: str
    choices: tuple[str, ...]
    label: int

    label_fields: ClassVar[frozenset[str]] = frozenset({"label"})


@dataclass(frozen=True)
class ChoiceRows(EncodedRows[ChoiceQuestion]):
    """Encoded rows with multiple-choice targets.

    Attributes:
        labels: `[rows]`. The index of the right choice.
        num_choices: The number of choices per row.
    """

    labels: NDArray[np.int64] = field(metadata=per_row(np.int32))
    num_choices: int = field(metadata=constant())

    splits_examples: ClassVar[bool] = False

    def targets(self, chosen: NDArray[np.int64], common: dict[str, Any]) -> MultipleChoiceBatch:
        """Adds the right choices."""
        rows = self.owners[chosen][:: self.num_choices]
        labels = torch.from_numpy(self.labels[rows])
        return MultipleChoiceBatch(**common, labels=labels, num_choices=self.num_choices)


class MultipleChoiceFeatures(Features[ChoiceQuestion]):
    """Reads and encodes questions with choices."""

    config_class = MultipleChoiceReading
    config: MultipleChoiceReading
    num_choices: int | None = None

    @property
    def input_columns(self) -> list[str]:
        """The columns of the texts."""
        given, question = self.config.choices_column, self.config.question_column
        columns = [self.config.context_column, *([given] if isinstance(given, str) else given)]
        return columns if question is None else [*columns, question]

    @property
    def label_columns(self) -> list[str]:
        """The column of the right choice."""
        return [self.config.label_column]

    def has_empty_text(self, example: ChoiceQuestion) -> bool:
        """Whether the context or a choice is empty."""
        return not all(text.strip() for text in (example.context, *example.choices))

    def begin(self) -> None:
        """Forgets the number of choices."""
        self.num_choices = None

    def example(
        self, row: Mapping[str, Any], number: int, is_labelled: bool
    ) -> ChoiceQuestion | None:
        """Reads a row's texts and its right choice.

        Raises:
            RowError: A value cannot be used, or the number of choices differs from the first row's.
        """
        context = self.text(row, self.config.context_column)
        choices = self._choices(row)
        row_id = self.row_id(row, number)
        place = 0
        if is_labelled:
            label = row[self.config.label_column]
            if is_missing(label):
                return None
            place = as_index(label, self.config.label_column, len(choices))
        # The first row that can be used fixes the number of choices of all rows.
        self.num_choices = len(choices)
        return ChoiceQuestion(row_id, context, choices, place)

    def encode(self, examples: Sequence[ChoiceQuestion], is_labelled: bool) -> ChoiceRows:
        """Encodes each row as one sequence per choice."""
        num_choices = len(examples[0].choices) if examples else 1
        contexts = token_ids(self.tokenizer, [example.context for example in examples])
        choices = token_ids(self.tokenizer, [c for example in examples for c in example.choices])
        segments, is_truncated = [], np.zeros(len(examples), bool)
        for row, context in enumerate(contexts):
            of_row = choices[row * num_choices : (row + 1) * num_choices]
            length = self.max_seq_length
            cut = [truncated(context, choice, length, self.special) for choice in of_row]
            segments += [kept for kept, _ in cut]
            is_truncated[row] = any(was_cut for _, was_cut in cut)
        # The loss is averaged over rows, so only the first sequence of each row counts.
        num_targets = np.tile(np.eye(1, num_choices, dtype=np.int64)[0], len(examples))
        return ChoiceRows(
            examples=examples,
            sequences=lay_out(segments, self.special),
            owners=np.repeat(np.arange(len(examples)), num_choices),
            num_targets=num_targets,
            is_truncated=is_truncated,
            labels=np.array([example.label for example in examples], np.int64),
            num_choices=num_choices,
        )

    def _choices(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        if isinstance(self.config.choices_column, str):
            column = self.config.choices_column
            given = list_in(row.get(column), column)
            if given is None:
                raise RowError(f"{column} is {shown(row[column])} but must be a list of texts")
            value = [self.checked_text(as_text(each, column), column) for each in given]
        else:
            value = [self.text(row, column) for column in self.config.choices_column]
        if len(value) < 2:
            raise RowError(f"the number of choices is {len(value)} but must be at least 2")
        if self.num_choices is not None and len(value) != self.num_choices:
            raise RowError(
                f"the number of choices is {len(value)}, but the first row has {self.num_choices}"
            )
        if self.config.question_column is None:
            return tuple(value)
        question = self.text(row, self.config.question_column)
        return tuple(f"{question} {choice}" for choice in value)


class MultipleChoiceDataModule(LabelledDataModule[ChoiceQuestion]):
    """Questions with choices."""

    config_class = MultipleChoiceDataConfig
    features_class = MultipleChoiceFeatures
