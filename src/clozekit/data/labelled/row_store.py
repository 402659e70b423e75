"""Reads and encodes the rows of files without keeping them in memory."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Generic

import pyarrow as pa

from clozekit.data.files.rows import Rows
from clozekit.data.labelled.encoded_columns import can_be_stored
from clozekit.data.labelled.encoded_rows import EncodedRows, ExampleT
from clozekit.data.labelled.encoding import encoded_chunks
from clozekit.data.labelled.example_columns import ExampleColumns
from clozekit.data.labelled.examples import StoredExamples, packed
from clozekit.data.labelled.features import Features, RowError
from clozekit.data.labelled.kept_files import KeptFiles, hash_of, key_of_file
from clozekit.data.labelled.row_file import RowFile
from clozekit.data.labelled.stored_rows import StoredRows
from clozekit.errors import DataError


class RowStore(Generic[ExampleT]):
    """Stores the rows of files in two steps: what was read, and its encoding.

    Both are Arrow columns: in memory if they are small, else in a memory-mapped file.

    Args:
        features: Reads and encodes the rows.
        folder: The folder where files are kept to be found again; None to keep none.
    """

    def __init__(self, features: Features[ExampleT], folder: Path | None = None) -> None:
        self.features = features
        self._kept = KeptFiles(folder)
        self._keys: dict[RowFile, str | None] = {}
        self._encoded: dict[RowFile, RowFile] = {}

    def read(
        self, rows: Rows, check: bool, source: str | None = None
    ) -> tuple[Sequence[ExampleT], int]:
        """Reads the rows of a split.

        Args:
            rows: The rows.
            check: Whether labels must occur in the training rows.
            source: The file of the rows; None if they have none, so that they are not kept.

        Returns:
            The examples, and the number of rows skipped because they have no label.

        Raises:
            DataError: A row or column cannot be used; the message has its name and the file.
        """
        counts: dict[str, int] = {}
        remaining = read_examples(self.features, rows, check, counts)
        first = next(remaining)
        examples = chain([first], remaining)
        if not ExampleColumns.supports(type(first)):
            return list(examples), counts["num_unlabelled"]
        columns = ExampleColumns(type(first))

        def write(facts: dict[str, Any]) -> Iterator[pa.RecordBatch]:
            try:
                yield from packed(examples, self.features, columns)
            except UnicodeEncodeError as error:
                raise DataError(
                    f"{rows.name}: the text {error.object[:100]!a} is not valid Unicode"
                ) from error
            facts.update(counts)

        learned = self.features.learned()
        key = None if source is None else key_of_file(source, self.features, learned)
        file, facts = self._kept.find_or_write(key, write)
        self._keys[file] = key
        stored = StoredExamples(file, columns)
        if check and "num_unlabelled" not in counts:
            # The file was found, so its rows were not read.
            for example in stored:
                self.features.check_labels(example)
        return stored, facts["num_unlabelled"]

    def encode(
        self, examples: Sequence[ExampleT], meanwhile: Callable[[], None] = lambda: None
    ) -> EncodedRows[ExampleT] | StoredRows[ExampleT]:
        """Encodes examples that `read` returned, or a subset of them.

        Args:
            examples: The examples.
            meanwhile: Called from time to time while other processes encode many rows.
        """
        if not isinstance(examples, StoredExamples):
            return self.features.encode(examples, is_labelled=True)
        kind = type(self.features.encode([examples[0]], is_labelled=True))
        if not can_be_stored(kind):
            return self.features.encode(list(examples), is_labelled=True)
        return StoredRows(self._encoded_file(examples, meanwhile), kind, examples)

    def _encoded_file(
        self, examples: StoredExamples[ExampleT], meanwhile: Callable[[], None]
    ) -> RowFile:
        """Encodes all examples of a file once, also if they are divided into splits."""
        file = examples.file
        if file in self._encoded:
            return self._encoded[file]
        whole = StoredExamples(file, examples.columns)

        def write(facts: dict[str, Any]) -> Iterator[pa.RecordBatch]:
            for chunk in encoded_chunks(self.features, whole):
                meanwhile()
                yield chunk

        key = self._keys.get(file)
        key = None if key is None else hash_of(key, self.features.learned())
        self._encoded[file], _ = self._kept.find_or_write(key, write)
        return self._encoded[file]


def read_examples(
    features: Features[ExampleT], rows: Rows, check: bool, counts: dict[str, int]
) -> Iterator[ExampleT]:
    """Yields the labelled rows of a split.

    Args:
        features: Reads the rows.
        rows: The rows.
        check: Whether labels must occur in the training rows.
        counts: At the end, `num_unlabelled` is put into it: the number of rows skipped because they
            have no label.

    Raises:
        DataError: A row or column cannot be used; the message has its name and the file.
    """
    _check_columns(features, rows)
    features.look_through(rows)
    num_examples, num_unlabelled = 0, 0
    for number, (row_name, row) in enumerate(rows):
        try:
            example = features.example(row, number, is_labelled=True)
            if example is None:
                num_unlabelled += 1
                continue
            if check:
                features.check_labels(example)
        except RowError as error:
            raise DataError(f"{row_name}: {error}") from error
        num_examples += 1
        yield example
    counts["num_unlabelled"] = num_unlabelled
    if not num_examples:
        raise DataError(
            f"{rows.name}: all {num_unlabelled} rows are without labels in "
            f"{', '.join(features.label_columns)}"
        )


def _check_columns(features: Features[Any], rows: Rows) -> None:
    if not rows.columns:
        # Not one row can be read: the first one tells why by its error.
        next(iter(rows), None)
    for column in (*features.input_columns, *features.label_columns):
        if column not in rows.columns:
            present = ", ".join(rows.columns) or "none"
            raise DataError(f"{rows.name} has no column {column!r}; it has {present}")
    features.check_id_column(rows)
