"""Question answering by predicting one of the tags O, B and I for each token of the paragraph."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clozekit.config.data import QuestionDataConfig
from clozekit.data.batch import ANSWER_TAGS, AnswerTaggingBatch
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.labelled.paragraphs import Question, QuestionFeatures, QuestionRows
from clozekit.data.order import concatenated_ranges

_BEGIN, _INSIDE = ANSWER_TAGS.index("B"), ANSWER_TAGS.index("I")


@dataclass(frozen=True)
class AnswerTaggingRows(QuestionRows):
    """Windows with a tag for each token of the paragraph."""

    def targets(self, chosen: NDArray[np.int64], common: dict[str, Any]) -> AnswerTaggingBatch:
        """Adds the positions and tags of the paragraph's tokens."""
        sizes = self.num_targets[chosen]
        first_tokens = common["packing"].first_tokens.numpy().astype(np.int64)
        labels = np.zeros(int(sizes.sum()), np.int64)
        window_begins = np.cumsum(sizes) - sizes
        for begin, sequence in zip(window_begins, chosen, strict=True):
            start, end = self.starts[sequence], self.ends[sequence]
            if start >= 0:
                labels[begin + start + 1 : begin + end + 1] = _INSIDE
                labels[begin + start] = _BEGIN
        return AnswerTaggingBatch(
            **common,
            positions=torch.from_numpy(
                concatenated_ranges(first_tokens + self.begins[chosen], sizes)
            ),
            labels=torch.from_numpy(labels),
            windows=self.windows(chosen) if common["examples"] else (),
        )


class QuestionAnsweringBIOFeatures(QuestionFeatures[AnswerTaggingRows]):
    """Reads and encodes questions for tagging of the paragraph."""

    rows_class = AnswerTaggingRows

    def num_targets(self, offsets: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """Returns one target per token of each window."""
        return np.array([len(of_window) for of_window in offsets], np.int64)


class QuestionAnsweringBIODataModule(LabelledDataModule[Question]):
    """Questions and paragraphs; also reads SQuAD's files."""

    config_class = QuestionDataConfig
    features_class = QuestionAnsweringBIOFeatures
