"""Classification: rows with one or two texts, and one class or several labels."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from clozekit.config.data import ClassificationDataConfig
from clozekit.config.reading import ClassificationReading
from clozekit.data.batch import ClassificationBatch
from clozekit.data.files.cells import list_in, shown
from clozekit.data.files.rows import Rows, as_name, is_missing, ordered_names
from clozekit.data.labelled.encoded_rows import EncodedRows
from clozekit.data.labelled.features import RowError
from clozekit.data.labelled.fields import per_row
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.labelled.texts import TextExample, TextFeatures

LABEL_SEPARATOR = ";"
"""Separates the labels of a row in formats without lists, such as CSV."""

_QUOTED_LIST = re.compile(r"""\s*[\[(]\s*(['"]).+?\1""", re.DOTALL)

_BRACKETS = {"[": "]", "(": ")", "{": "}"}


@dataclass(frozen=True)
class LabelledText(TextExample):
    """A text or a pair of texts with its classes.

    Attributes:
        labels: The names of its classes: one, or any number with `multi_label`.
    """

    labels: tuple[str, ...]

    label_fields: ClassVar[frozenset[str]] = frozenset({"labels"})


@dataclass(frozen=True)
class ClassifiedRows(EncodedRows[LabelledText]):
    """Encoded rows with classification targets.

    Attributes:
        labels: `[rows]`, int64; with `multi_label` `[rows, labels]`, float32. Unknown labels have
            the ids after those of the model.
    """

    labels: NDArray[Any] = field(metadata=per_row())

    def targets(self, chosen: NDArray[np.int64], common: dict[str, Any]) -> ClassificationBatch:
        """Adds the labels."""
        return ClassificationBatch(**common, labels=torch.from_numpy(self.labels[chosen]))


class ClassificationFeatures(TextFeatures[LabelledText]):
    """Reads and encodes texts with classes.

    Attributes:
        declared: The classes that the file being read declares. They are names as they are, even
            with blanks around them, a semicolon or brackets.
    """

    config_class = ClassificationReading
    config: ClassificationReading
    declared: frozenset[str] = frozenset()

    @property
    def label_columns(self) -> list[str]:
        """The column of the class."""
        return [self.config.label_column]

    def example(
        self, row: Mapping[str, Any], number: int, is_labelled: bool
    ) -> LabelledText | None:
        """Reads a row's texts and classes."""
        texts = self.texts(row)
        if not is_labelled:
            return LabelledText(self.row_id(row, number), *texts, labels=())
        label = row[self.config.label_column]
        if is_missing(label):
            return None
        return LabelledText(self.row_id(row, number), *texts, labels=self._labels(label))

    def look_through(self, rows: Rows) -> None:
        """Notes the classes that the file declares."""
        self.declared = frozenset(rows.class_names.get(self.config.label_column, ()))

    def learn_labels(
        self, examples: Sequence[LabelledText], class_names: Mapping[str, list[str]]
    ) -> None:
        """Takes the classes that the data set declares, else those found in the rows, sorted."""
        found = {label for example in examples for label in example.labels}
        self.label_names = class_names.get(self.config.label_column) or ordered_names(found)

    def labels_of(self, example: LabelledText) -> Sequence[str]:
        """Returns the classes of a row."""
        return example.labels

    def strata(self, examples: Sequence[LabelledText]) -> list[str]:
        """Groups rows by class; not with `multi_label`, where a set of labels may occur once."""
        if self.config.multi_label:
            return super().strata(examples)
        return [example.labels[0] for example in examples]

    def task_arguments(self) -> dict[str, Any]:
        """Returns whether rows may have several labels."""
        return {"multi_label": self.config.multi_label}

    def encode(self, examples: Sequence[LabelledText], is_labelled: bool) -> ClassifiedRows:
        """Encodes each row as one sequence."""
        ids = self.label_ids()
        labels: NDArray[Any] = np.zeros(len(examples), np.int64)
        if self.config.multi_label:
            labels = np.zeros((len(examples), len(ids)), np.float32)
        if is_labelled:
            for row, example in enumerate(examples):
                for label in example.labels:
                    if self.config.multi_label:
                        labels[row, ids[label]] = 1
                    else:
                        labels[row] = ids[label]
        return ClassifiedRows(**self.encoded_texts(examples), labels=labels)

    def _labels(self, label: Any) -> tuple[str, ...]:
        if isinstance(label, str) and label in self.declared:
            return (label,)
        column = self.config.label_column
        if not self.config.multi_label:
            if isinstance(label, list | dict) or _is_list(label, column):
                raise RowError(
                    f"{column} is {shown(label)} but must be a single label; set "
                    "data.multi_label=true if rows have several"
                )
            return (as_name(label),)
        each = list_in(label if isinstance(label, list) else as_name(label), column)
        if each is None:
            each = as_name(label).split(LABEL_SEPARATOR)
            if len(each) > 1 and _is_in_brackets(each):
                raise RowError(
                    f"{column} is {shown(label)} but must be names separated by "
                    f'{LABEL_SEPARATOR!r} without brackets, or a list in JSON, such as ["a", "b"]'
                )
        names = (self._name(one) for one in each if not is_missing(one))
        return tuple(name for name in names if name)

    def _name(self, label: Any) -> str:
        is_declared = isinstance(label, str) and label in self.declared
        return label if is_declared else as_name(label).strip()


def _is_list(label: Any, column: str) -> bool:
    """Whether a cell is a list of texts in quotation marks, also if it is cut off.

    Others, such as `[1]`, may be the name of a class.
    """
    if not isinstance(label, str) or not _QUOTED_LIST.match(label):
        return False
    try:
        return list_in(label, column) is not None
    except RowError:
        return True


def _is_in_brackets(names: Sequence[str]) -> bool:
    """Whether a bracket opens in the first name and closes in the last, as around a list."""
    first, last = names[0].strip(), names[-1].strip()
    end = _BRACKETS.get(first[:1])
    return end is not None and end not in first and last.endswith(end) and first[0] not in last


class ClassificationDataModule(LabelledDataModule[LabelledText]):
    """Texts or pairs of texts with classes."""

    config_class = ClassificationDataConfig
    features_class = ClassificationFeatures
    config: ClassificationDataConfig

    def balanced_weights(self) -> dict[str, float]:
        """Returns a weight per class: its inverse frequency in the training rows.

        The weights are scaled to a mean of 1 over the training rows, or over the labels with
        `multi_label`. A class that does not occur in the training rows is counted as one row.
        """
        source = self.sources["train"]
        assert isinstance(source, LabelledSource)
        found = Counter(label for example in source.rows.examples for label in example.labels)
        counts = {name: max(found[name], 1) for name in self.features.label_names or ()}
        if self.config.multi_label:
            scale = len(counts) / sum(1 / count for count in counts.values())
        else:
            scale = found.total() / len(counts)
        return {name: scale / count for name, count in counts.items()}
