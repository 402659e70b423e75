"""Labelled files, read through `datasets` and turned into token ids once."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from clozekit.data.batch import ClassificationBatch, Step
from clozekit.data.order import Position, Span, concatenated_ranges
from clozekit.data.packing import Packing
from clozekit.errors import DataError

BUILDERS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
}
"""The `datasets` builder of each file ending, after a `.gz`."""


@dataclass(frozen=True)
class LabelledTexts:
    """The rows of one split.

    Attributes:
        texts: The first text of every row.
        text_pairs: The second text of every row, where there is one.
        labels: The class of every row, by name.
    """

    texts: list[str]
    text_pairs: list[str] | None
    labels: list[str]

    @property
    def hash(self) -> str:
        """What names the rows: a hash of their content and order."""
        content = json.dumps([self.texts, self.text_pairs, self.labels])
        return hashlib.sha256(content.encode()).hexdigest()


def read_labelled(
    path: str, text_column: str, text_pair_column: str | None, label_column: str
) -> LabelledTexts:
    """Reads a CSV, TSV, JSON, JSONL or Parquet file, gzipped or not.

    Raises:
        DataError: It names the file, and the row or column that cannot be used.
    """
    rows = _load_rows(path)
    wanted = [c for c in (text_column, text_pair_column, label_column) if c is not None]
    for column in wanted:
        if column not in rows.column_names:
            present = ", ".join(rows.column_names)
            raise DataError(f"{path}: there is no column {column!r}; there are {present}")
    if not len(rows):
        raise DataError(f"{path}: the file has no rows")
    columns = {column: list(rows[column]) for column in wanted}
    for column, values in columns.items():
        for row, value in enumerate(values, start=1):
            if value is None or (column != label_column and not isinstance(value, str)):
                raise DataError(
                    f"{path}, row {row}: {column} is {value!r}, where a "
                    f"{'label' if column == label_column else 'text'} is needed"
                )
    return LabelledTexts(
        texts=columns[text_column],
        text_pairs=None if text_pair_column is None else columns[text_pair_column],
        labels=[str(label) for label in columns[label_column]],
    )


def _load_rows(path: str) -> Any:
    # `datasets` takes a second to import, and only fine-tuning needs it.
    import datasets

    endings = [ending for ending in Path(path).suffixes if ending != ".gz"]
    builder = BUILDERS.get(endings[-1].lower() if endings else "")
    if builder is None:
        raise DataError(f"{path}: the file's ending is not one of {', '.join(BUILDERS)} (or .gz)")
    if not Path(path).is_file():
        raise DataError(f"{path}: there is no such file")
    options = {"sep": "\t"} if endings[-1].lower() == ".tsv" else {}
    progress_was_shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(builder, data_files=path, split="train", **options)
    except datasets.exceptions.DatasetGenerationError as error:
        cause = error.__cause__ or error
        raise DataError(f"{path}: it cannot be read as {builder}: {cause}") from error
    except ValueError as error:
        # What `datasets` makes of a file that has a header alone.
        if "corresponds to no data" in str(error):
            raise DataError(f"{path}: the file has no rows") from error
        raise
    finally:
        if progress_was_shown:
            datasets.enable_progress_bars()


class ClassificationSource:
    """Tokenised rows with a class each; see `clozekit.data.stream.Source`. They are one shard."""

    num_shards = 1

    def __init__(
        self,
        rows: LabelledTexts,
        tokenizer: Tokenizer,
        label_names: Sequence[str],
        max_seq_length: int,
    ) -> None:
        tokenizer = Tokenizer.from_str(tokenizer.to_str())
        tokenizer.enable_truncation(max_seq_length, strategy="longest_first")
        tokenizer.no_padding()
        texts = (
            rows.texts
            if rows.text_pairs is None
            else list(zip(rows.texts, rows.text_pairs, strict=True))
        )
        encodings = tokenizer.encode_batch(texts)
        self.num_truncated = sum(bool(encoding.overflowing) for encoding in encodings)
        self.lengths = np.array([len(encoding.ids) for encoding in encodings])
        self._begins = np.cumsum(self.lengths) - self.lengths
        self._input_ids = np.concatenate([np.array(e.ids, np.int32) for e in encodings])
        self._token_type_ids = np.concatenate([np.array(e.type_ids, np.int8) for e in encodings])
        ids = {name: index for index, name in enumerate(label_names)}
        self.labels: NDArray[np.int64] = np.array([ids[label] for label in rows.labels], np.int64)

    def num_samples(self, epoch: int, shard: int) -> int:
        """The number of rows, the same in every epoch."""
        return len(self.labels)

    def step_of(self, spans: list[Span], micro_step: int, next_position: Position) -> Step:
        """Describes the global step."""
        rows = np.concatenate([span.samples for span in spans])
        return Step(
            index=next_position.step - 1,
            micro_step=micro_step,
            num_sequences=len(rows),
            num_tokens=int(self.lengths[rows].sum()),
            num_targets=len(rows),
            next_position=next_position,
        )

    def build(self, spans: list[Span], step: Step | None) -> ClassificationBatch:
        """Lays the rows' tokens end to end."""
        rows = np.concatenate([span.samples for span in spans])
        epochs = np.concatenate([np.full(len(span), span.epoch) for span in spans])
        places = concatenated_ranges(self._begins[rows], self.lengths[rows])
        return ClassificationBatch(
            input_ids=torch.from_numpy(self._input_ids[places].astype(np.int64)),
            token_type_ids=torch.from_numpy(self._token_type_ids[places].astype(np.int64)),
            packing=Packing.from_lengths(self.lengths[rows]),
            sample_ids=torch.from_numpy(np.stack([epochs, np.zeros_like(rows), rows], axis=1)),
            step=step,
            labels=torch.from_numpy(self.labels[rows]),
        )
