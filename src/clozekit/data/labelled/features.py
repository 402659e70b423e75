"""The interface by which a task defines how its rows are read and encoded."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, Generic

from tokenizers import Tokenizer

from clozekit.config.checks.checking import checked
from clozekit.config.reading import Reading
from clozekit.data.files.cells import RowError as RowError
from clozekit.data.files.cells import as_id, as_text, is_missing
from clozekit.data.files.rows import Rows, is_rows_file, read_file
from clozekit.data.files.splits import read_split
from clozekit.data.labelled.encoded_rows import EncodedRows, ExampleT
from clozekit.data.sequence_format import SequenceFormat
from clozekit.errors import DataError
from clozekit.output.display import printable, warn

LONGEST_SHOWN = 60
"""The maximum number of characters of a label in a message."""

_MOST_NAMED = 5
"""Of the files that are left out, these many are named."""


class Features(ABC, Generic[ExampleT]):
    """Reads the rows of a task and encodes them as sequences.

    Args:
        tokenizer: The tokenizer. It is copied.
        **options: The options declared in `config_class`.

    Attributes:
        config: The options.
        special: The special tokens around texts.
        label_names: The classes in the order of their ids; None before `learn_labels`.
        unknown_labels: Gold labels that the model does not have, as found by `check_labels`. Their
            ids follow those of `label_names`.
        needs_ids: Whether files must have the column of ids: it is not the default one, so that the
            user named it.
    """

    config_class: ClassVar[type[Reading]]
    config: Reading
    label_names: list[str] | None = None
    unknown_labels: list[str]

    def __init__(self, tokenizer: Tokenizer, **options: Any) -> None:
        self.config = checked("data", self.config_class, options)
        self.tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.special = SequenceFormat.of(self.tokenizer)
        self.max_seq_length = self.config.max_seq_length
        default = self.config_class.model_fields["id_column"].default
        self.needs_ids = self.config.id_column not in (None, default)
        self.unknown_labels = []
        self._ids: dict[str, int] = {}
        self._ids_of: list[str] = []

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

    def begin(self) -> None:
        """Forgets what the first of the rows so far decides for the others."""

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

    def is_read(self, source: str) -> bool:
        """Whether a file has a format that the task reads, by its name."""
        return is_rows_file(source)

    def read_split(self, path: str, name: str | None, split: str) -> Rows:
        """Reads a split of a data set.

        Raises:
            DataError: It does not exist or cannot be read.
        """
        rows = read_split(path, name, split, self.read_rows, self.is_read)
        if rows.left_out:
            names = printable(", ".join(rows.left_out[:_MOST_NAMED]))
            more = len(rows.left_out) - _MOST_NAMED
            names += f" and {more} more" if more > 0 else ""
            warn(
                f"{path}: left out {names}; the files of a split are those that are named after "
                "it, or in a folder that is"
            )
        return rows

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

    def look_through(self, rows: Rows) -> None:
        """Scans a file once for what no single row shows, such as the scheme of the tags."""
        return

    def labels_of(self, example: ExampleT) -> Sequence[str | None]:
        """Returns the labels of an example that are among `label_names`, or should be."""
        return ()

    def check_labels(self, example: ExampleT) -> None:
        """Notes the labels of an example that the model does not have.

        Raises:
            RowError: There is one, and the configuration refuses it.
        """
        for label in self.labels_of(example):
            if label is None or label in self.label_ids():
                continue
            if getattr(self.config, "on_unknown_label", None) == "error":
                raise unknown_label(label, self.label_names or ())
            self.unknown_labels.append(label)

    def label_ids(self) -> dict[str, int]:
        """Returns the id of each label: those of the model, then the unknown ones."""
        names = self.label_names or []
        if len(self._ids) != len(names) + len(self.unknown_labels) or self._ids_of is not names:
            self._ids = {name: i for i, name in enumerate([*names, *self.unknown_labels])}
            self._ids_of = names
        return self._ids

    def count_unknown(self, name: str, examples: Sequence[ExampleT]) -> dict[str, int]:
        """Counts the labels of a split that the model does not have; they count as errors.

        Args:
            name: The name of the split, for messages.
            examples: Its rows.

        Raises:
            DataError: The model has none of the labels.
        """
        if not self.unknown_labels:
            return {}
        unknown = set(self.unknown_labels)
        found = Counter(
            label for each in examples for label in self.labels_of(each) if label is not None
        )
        if found and found.keys() <= unknown:
            raise DataError(
                f"{name}: the model has none of its labels ({shown_labels(list(found))}); it has "
                f"{shown_labels(self.label_names or ())}"
            )
        return {label: count for label, count in found.items() if label in unknown}

    def learned(self) -> list[Any]:
        """Returns what the encoding depends on besides the options, as plain values.

        The encoded rows of a file are found again by it.
        """
        return [self.label_names, self.unknown_labels, self.task_arguments()]

    @abstractmethod
    def encode(self, examples: Sequence[ExampleT], is_labelled: bool) -> EncodedRows[ExampleT]:
        """Encodes examples as sequences and targets.

        The rows of a large file are encoded in parts, by several processes. So the encoding of an
        example may not depend on the others, and a change of `self` is lost.

        Args:
            examples: The examples.
            is_labelled: Whether they have labels. If not, the targets are placeholders.
        """

    def strata(self, examples: Sequence[ExampleT]) -> list[str]:
        """Returns the stratum of each example; validation takes the same share of each stratum.

        Called with parts of a file.
        """
        return [""] * len(examples)

    def groups(self, examples: Sequence[ExampleT]) -> list[tuple[Hashable, ...]] | None:
        """Returns the groups of each example, the same number for each.

        Examples with a group in common stay in one split. Called with parts of a file. Groups are
        compared by their `repr`. None means that no two examples have one in common.
        """
        return None

    def task_arguments(self) -> dict[str, Any]:
        """Returns arguments of the task's constructor that depend on the rows."""
        return {}

    def check_id_column(self, rows: Rows) -> None:
        """Checks that a file has the column of ids if it needs one.

        Raises:
            DataError: It does not.
        """
        column = self.config.id_column
        if self.needs_ids and rows.columns and column not in rows.columns:
            raise DataError(
                f"{rows.name} has no column {column!r}, which id_column names; it has "
                f"{', '.join(rows.columns)}"
            )

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
    return RowError(
        f"the label {label!r} does not occur in the training rows, which have "
        f"{shown_labels(label_names)}"
    )


def shown_labels(names: Sequence[str], most: int = 20) -> str:
    """Lists labels for a message, in quotes where white space would otherwise not be seen."""
    shown = []
    for name in names[:most]:
        short = name if len(name) <= LONGEST_SHOWN else f"{name[: LONGEST_SHOWN - 1]}…"
        short = printable(short)
        shown.append(repr(short) if short != short.strip() or not short else short)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown) + more
