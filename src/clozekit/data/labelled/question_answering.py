"""Question answering by predicting the start and end of the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clozekit.config.data import QuestionDataConfig
from clozekit.data.batch import QuestionAnsweringBatch
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.labelled.paragraphs import Question, QuestionFeatures, QuestionRows


@dataclass(frozen=True)
class SpanRows(QuestionRows):
    """Windows with the start and end of the answer."""

    def targets(self, chosen: NDArray[np.int64], common: dict[str, Any]) -> QuestionAnsweringBatch:
        """Adds the start and end positions; that of [CLS] if a window has no answer."""
        begins, starts, ends = (array[chosen] for array in (self.begins, self.starts, self.ends))
        return QuestionAnsweringBatch(
            **common,
            start_positions=torch.from_numpy(np.where(starts < 0, 0, begins + starts)),
            end_positions=torch.from_numpy(np.where(ends < 0, 0, begins + ends)),
            windows=self.windows(chosen) if common["examples"] else (),
        )


class QuestionAnsweringFeatures(QuestionFeatures[SpanRows]):
    """Reads and encodes questions for prediction of start and end."""

    rows_class = SpanRows

    def num_targets(self, offsets: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """Returns one target per window."""
        return np.ones(len(offsets), np.int64)


class QuestionAnsweringDataModule(LabelledDataModule[Question]):
    """Questions and paragraphs; also reads SQuAD's files."""

    config_class = QuestionDataConfig
    features_class = QuestionAnsweringFeatures
