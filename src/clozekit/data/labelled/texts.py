"""Shared by tasks on one or two texts: each row is one sequence, truncated if too long."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from clozekit.config.reading import TextReading
from clozekit.data.files.rows import is_missing
from clozekit.data.labelled.encoded_rows import Example
from clozekit.data.labelled.features import Features, RowError
from clozekit.data.labelled.sequences import lay_out, token_ids, truncated

_PAIR = "text_pair"


@dataclass(frozen=True)
class TextExample(Example):
    """A text or a pair of texts.

    Attributes:
        text: The text.
        text_pair: The second text, if any.
    """

    text: str
    text_pair: str | None


TextT = TypeVar("TextT", bound=TextExample)


class _GivenTexts(dict[str, Any]):
    """A row made from texts that were given by themselves: its second text is no column's."""


class TextFeatures(Features[TextT]):
    """Reads and encodes texts and pairs of texts.

    Attributes:
        reads_text_pair: Whether a column `text_pair` is read without being named. It is for a model
            of another library, which has no names of columns. A run was trained on its columns and
            on no others.
    """

    config_class = TextReading
    config: TextReading
    reads_text_pair = False

    @property
    def input_columns(self) -> list[str]:
        """The columns of the texts."""
        pair = self.config.text_pair_column
        return [self.config.text_column] if pair is None else [self.config.text_column, pair]

    @property
    def optional_columns(self) -> list[str]:
        """The column of ids, and that of a second text if it is read where it is there."""
        return [*super().optional_columns, *([_PAIR] if self.reads_text_pair else [])]

    def has_empty_text(self, example: TextT) -> bool:
        """Whether a text of the example is empty."""
        pair = example.text_pair
        return not example.text.strip() or (pair is not None and not pair.strip())

    def texts(self, row: Mapping[str, Any]) -> tuple[str, str | None]:
        """Returns the texts of a row, the same for evaluation and prediction."""
        pair = self.config.text_pair_column
        may_be_pair = self.reads_text_pair or isinstance(row, _GivenTexts)
        if pair is None and may_be_pair and not is_missing(row.get(_PAIR)):
            pair = _PAIR
        text = self.text(row, self.config.text_column)
        return text, None if pair is None else self.text(row, pair)

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        """Makes a row from a text or a pair of texts."""
        if text_pair is None and self.config.text_pair_column is not None:
            raise RowError("text_pair is missing; this task takes pairs of texts")
        pair = self.config.text_pair_column or _PAIR
        return _GivenTexts({self.config.text_column: text, pair: text_pair})

    def encoded_texts(self, examples: Sequence[TextT]) -> dict[str, Any]:
        """Encodes each row as one sequence; returns the arguments of `EncodedRows`."""
        first = token_ids(self.tokenizer, [example.text for example in examples])
        second = token_ids(self.tokenizer, [example.text_pair or "" for example in examples])
        segments = []
        is_truncated = np.zeros(len(examples), bool)
        for row, (example, a, b) in enumerate(zip(examples, first, second, strict=True)):
            pair = None if example.text_pair is None else b
            kept, is_truncated[row] = truncated(a, pair, self.max_seq_length, self.special)
            segments.append(kept)
        return {
            "examples": examples,
            "sequences": lay_out(segments, self.special),
            "owners": np.arange(len(examples)),
            "num_targets": np.ones(len(examples), np.int64),
            "is_truncated": is_truncated,
        }
