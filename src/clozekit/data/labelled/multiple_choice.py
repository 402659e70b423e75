"""Multiple choice: rows of a context, a question and choices, of which one is right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from clozekit.config.data import MultipleChoiceDataConfig
from clozekit.config.reading import MultipleChoiceReading
from clozekit.data.batch import MultipleChoiceBatch
from clozekit.data.files.rows import as_name, is_missing
from clozekit.data.labelled.features import EncodedRows, Example, Features, RowError
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.labelled.sequences import lay_out, token_ids, truncated


@dataclass(frozen=True)
class ChoiceQuestion(Example):
    """A question with its choices.

    Attributes:
        context: What the question is asked of; the first segment.
        choices: What each choice's second segment says: the question, if there is one, and it.
        label: The place of the right one.
    """

    context: str
    choices: tuple[str, ...]
    label: int


@dataclass(frozen=True)
class ChoiceRows(EncodedRows[ChoiceQuestion]):
    """Rows with the targets of multiple choice.

    Attributes:
        labels: `[rows]`.
        num_choices: The number of choices of a row.
    """

    labels: NDArray[np.int64]
    num_choices: int

    splits_examples: ClassVar[bool] = False

    def targets(self, chosen: NDArray[np.int64], common: dict[str, Any]) -> MultipleChoiceBatch:
        """Adds the right choices."""
        rows = self.owners[chosen][:: self.num_choices]
        labels = torch.from_numpy(self.labels[rows])
        return MultipleChoiceBatch(**common, labels=labels, num_choices=self.num_choices)


class MultipleChoiceFeatures(Features[ChoiceQuestion]):
    """How questions with choices are read."""

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

    def example(
        self, row: Mapping[str, Any], number: int, is_labelled: bool
    ) -> ChoiceQuestion | None:
        """Reads a row's texts and its right choice.

        Raises:
            RowError: A value cannot be used, or there are more or fewer choices than in the first
                row.
        """
        context = self.text(row, self.config.context_column)
        choices = self._choices(row)
        row_id = self.row_id(row, number)
        if not is_labelled:
            return ChoiceQuestion(row_id, context, choices, label=0)
        label = row[self.config.label_column]
        if is_missing(label):
            return None
        try:
            place = int(as_name(label))
        except ValueError:
            place = -1
        if not 0 <= place < len(choices):
            raise RowError(
                f"{self.config.label_column} is {label!r}, where the place of one of "
                f"{len(choices)} choices is needed, from 0"
            )
        return ChoiceQuestion(row_id, context, choices, place)

    def encode(self, examples: Sequence[ChoiceQuestion], is_labelled: bool) -> ChoiceRows:
        """Turns every row into a sequence a choice."""
        num_choices = len(examples[0].choices) if examples else 1
        contexts = token_ids(self.tokenizer, [example.context for example in examples])
        choices = token_ids(self.tokenizer, [c for example in examples for c in example.choices])
        segments, num_truncated = [], 0
        for row, context in enumerate(contexts):
            of_row = choices[row * num_choices : (row + 1) * num_choices]
            cut = [truncated(context, choice, self.max_seq_length) for choice in of_row]
            segments += [kept for kept, _ in cut]
            num_truncated += any(was_cut for _, was_cut in cut)
        # The loss is averaged over rows; of a row's sequences the first stands for it.
        num_targets = np.tile(np.eye(1, num_choices, dtype=np.int64)[0], len(examples))
        return ChoiceRows(
            examples=examples,
            sequences=lay_out(segments, self.special_tokens),
            owners=np.repeat(np.arange(len(examples)), num_choices),
            num_targets=num_targets,
            num_truncated=num_truncated,
            labels=np.array([example.label for example in examples], np.int64),
            num_choices=num_choices,
        )

    def _choices(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        if isinstance(self.config.choices_column, str):
            value = row.get(self.config.choices_column)
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                raise RowError(
                    f"{self.config.choices_column} is {value!r}, where a list of texts is needed"
                )
        else:
            value = [self.text(row, column) for column in self.config.choices_column]
        if len(value) < 2:
            raise RowError(f"there are {len(value)} choices, where two or more are needed")
        # The first row that is read says how many all of them have.
        self.num_choices = self.num_choices or len(value)
        if len(value) != self.num_choices:
            raise RowError(
                f"there are {len(value)} choices, where the first row has {self.num_choices}"
            )
        if self.config.question_column is None:
            return tuple(value)
        question = self.text(row, self.config.question_column)
        return tuple(f"{question} {choice}" for choice in value)


class MultipleChoiceDataModule(LabelledDataModule[ChoiceQuestion]):
    """Questions with choices."""

    config_class = MultipleChoiceDataConfig
    features_class = MultipleChoiceFeatures
