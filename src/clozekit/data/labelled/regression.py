"""Regression: rows with one or two texts and a score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from clozekit.config.data import RegressionDataConfig
from clozekit.config.reading import RegressionReading
from clozekit.data.batch import RegressionBatch
from clozekit.data.files.cells import as_score
from clozekit.data.files.rows import is_missing
from clozekit.data.labelled.encoded_rows import EncodedRows
from clozekit.data.labelled.fields import per_row
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.labelled.texts import TextExample, TextFeatures


@dataclass(frozen=True)
class ScoredText(TextExample):
    """A text or a pair of texts with its score.

    Attributes:
        score: The score.
    """

    score: float

    label_fields: ClassVar[frozenset[str]] = frozenset({"score"})


@dataclass(frozen=True)
class ScoredRows(EncodedRows[ScoredText]):
    """Encoded rows with regression targets.

    Attributes:
        scores: `[rows]`, float32.
    """

    scores: NDArray[np.float32] = field(metadata=per_row())

    def targets(self, chosen: NDArray[np.int64], common: dict[str, Any]) -> RegressionBatch:
        """Adds the scores."""
        return RegressionBatch(**common, scores=torch.from_numpy(self.scores[chosen]))


class RegressionFeatures(TextFeatures[ScoredText]):
    """Reads and encodes texts with scores."""

    config_class = RegressionReading
    config: RegressionReading

    @property
    def label_columns(self) -> list[str]:
        """The column of the score."""
        return [self.config.score_column]

    def example(self, row: Mapping[str, Any], number: int, is_labelled: bool) -> ScoredText | None:
        """Reads a row's texts and score."""
        texts = self.texts(row)
        if not is_labelled:
            return ScoredText(self.row_id(row, number), *texts, score=0.0)
        given = row[self.config.score_column]
        if is_missing(given):
            return None
        score = as_score(given, self.config.score_column)
        return ScoredText(self.row_id(row, number), *texts, score=score)

    def encode(self, examples: Sequence[ScoredText], is_labelled: bool) -> ScoredRows:
        """Encodes each row as one sequence."""
        scores = np.array([example.score for example in examples], np.float32)
        return ScoredRows(**self.encoded_texts(examples), scores=scores)


class RegressionDataModule(LabelledDataModule[ScoredText]):
    """Texts or pairs of texts with scores."""

    config_class = RegressionDataConfig
    features_class = RegressionFeatures
