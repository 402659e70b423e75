"""Question answering by an answer's two ends."""

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
    """Windows with the two ends of the answer."""

    def targets(self, chosen: NDArray[np.int64], common: dict[str, Any]) -> QuestionAnsweringBatch:
        """Adds the ends' places; those of [CLS] where a window has no answer."""
        begins, starts, ends = (array[chosen] for array in (self.begins, self.starts, self.ends))
        return QuestionAnsweringBatch(
            **common,
            start_positions=torch.from_numpy(np.where(starts < 0, 0, begins + starts)),
            end_positions=torch.from_numpy(np.where(ends < 0, 0, begins + ends)),
            windows=self.windows(chosen) if common["examples"] else (),
        )


class QuestionAnsweringFeatures(QuestionFeatures[SpanRows]):
    """How questions are read that are answered by an answer's ends."""

    rows_class = SpanRows

    def num_targets(self, offsets: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """Counts windows."""
        return np.ones(len(offsets), np.int64)


class QuestionAnsweringDataModule(LabelledDataModule[Question]):
    """Questions and paragraphs, from SQuAD's files too."""

    config_class = QuestionDataConfig
    features_class = QuestionAnsweringFeatures
