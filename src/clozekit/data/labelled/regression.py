"""Regression: rows of one text or two, and a score."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from clozekit.data.batch import RegressionBatch
from clozekit.data.files.rows import is_missing
from clozekit.data.labelled.features import EncodedRows, RowError
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.labelled.texts import TextExample, TextFeatures


@dataclass(frozen=True)
class ScoredText(TextExample):
    """A text or a pair with its score.

    Attributes:
        score: The score.
    """

    score: float


@dataclass(frozen=True)
class ScoredRows(EncodedRows[ScoredText]):
    """Rows with the targets of regression.

    Attributes:
        scores: `[rows]`, float32.
    """

    scores: NDArray[np.float32]

    def targets(self, chosen: NDArray[np.int64], common: dict[str, Any]) -> RegressionBatch:
        """Adds the scores."""
        return RegressionBatch(**common, scores=torch.from_numpy(self.scores[chosen]))


class RegressionFeatures(TextFeatures[ScoredText]):
    """How scored texts are read.

    Args:
        tokenizer: What text is read with.
        max_seq_length: The longest sequence, special tokens included; longer rows are cut.
        text_column: The column of the text.
        text_pair_column: The column of the second text, if there is one.
        score_column: The column of the score.
        id_column: The column of the rows' ids; None for their numbers.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_seq_length: int = 128,
        text_column: str = "text",
        text_pair_column: str | None = None,
        score_column: str = "score",
        id_column: str | None = None,
    ) -> None:
        super().__init__(
            tokenizer, max_seq_length, text_column, text_pair_column, score_column, id_column
        )

    def example(self, row: Mapping[str, Any], number: int, is_labelled: bool) -> ScoredText | None:
        """Reads a row's texts and score."""
        texts = self.texts(row, is_labelled)
        if not is_labelled:
            return ScoredText(self.row_id(row, number), *texts, score=0.0)
        given = row[self.label_column]
        if is_missing(given) or is_missing(score := self._score(given)):
            return None
        return ScoredText(self.row_id(row, number), *texts, score=score)

    def encode(self, examples: Sequence[ScoredText], is_labelled: bool) -> ScoredRows:
        """Turns every row into a sequence."""
        scores = np.array([example.score for example in examples], np.float32)
        return ScoredRows(**self.encoded_texts(examples), scores=scores)

    def _score(self, value: Any) -> float:
        try:
            score = float(value)
        except (TypeError, ValueError):
            score = math.inf
        if math.isinf(score):
            raise RowError(f"{self.label_column} is {value!r}, where a number is needed")
        return score


class RegressionDataModule(LabelledDataModule[ScoredText]):
    """Texts or pairs with scores.

    Its arguments are those of `LabelledDataModule` and of `RegressionFeatures`.
    """

    features_class = RegressionFeatures
