"""The batches that tasks read: packed sequences and their labels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from clozekit.data.packing import Packing, TensorContainer


@dataclass(frozen=True, kw_only=True)
class Batch(TensorContainer):
    """A batch of sequences, concatenated without padding.

    Attributes:
        input_ids: `[tokens]`, int64.
        token_type_ids: `[tokens]`, int64. The segment of each token, 0 or 1.
        packing: The position of each sequence in the batch.
        sample_ids: `[batch, 3]`, int64. Epoch, shard and sample of each sequence. Always on the
            CPU, where they are used.
        examples: The rows that the sequences were made from; only in evaluation of labelled rows.
    """

    input_ids: Tensor
    token_type_ids: Tensor
    packing: Packing
    sample_ids: Tensor
    examples: tuple[Any, ...] = ()

    @property
    def batch_size(self) -> int:
        """The number of sequences."""
        return self.packing.batch_size

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Moves all tensors except `sample_ids`; takes the arguments of `torch.Tensor.to`."""
        return self.map_moving(lambda tensor: tensor.to(*args, **kwargs))

    def pin_memory(self) -> Self:
        """Copies all tensors except `sample_ids` to pinned memory."""
        return self.map_moving(lambda tensor: tensor.pin_memory())

    def map_moving(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Applies a function to the tensors that a device needs: all except `sample_ids`."""
        return self.map_tensors(
            lambda tensor: tensor if tensor is self.sample_ids else function(tensor)
        )

    def padded(self) -> dict[str, Tensor]:
        """Returns the inputs in the padded form of other libraries, each `[batch, max_seqlen]`."""
        return {
            "input_ids": self.packing.pad(self.input_ids),
            "token_type_ids": self.packing.pad(self.token_type_ids),
            "attention_mask": self.packing.attention_mask.long(),
        }


@dataclass(frozen=True, kw_only=True)
class MaskedLMBatch(Batch):
    """A batch for MLM.

    Attributes:
        masked_lm_positions: `[targets]`, int64. The chosen tokens' indices in the packed tokens.
        masked_lm_labels: `[targets]`, int64. The original ids of the chosen tokens.
    """

    masked_lm_positions: Tensor
    masked_lm_labels: Tensor


@dataclass(frozen=True, kw_only=True)
class PretrainingBatch(MaskedLMBatch):
    """A batch for MLM and NSP.

    Attributes:
        next_sentence_label: `[batch]`, int64. 0 if B continues A, 1 if B is random.
    """

    next_sentence_label: Tensor


@dataclass(frozen=True, kw_only=True)
class ClassificationBatch(Batch):
    """A batch for sequence classification.

    Attributes:
        labels: `[batch]`, int64, the class of each sequence. With several labels per sequence:
            `[batch, labels]`, float32, 1 for each label that the sequence has, else 0.
    """

    labels: Tensor


@dataclass(frozen=True, kw_only=True)
class RegressionBatch(Batch):
    """A batch for sequence regression.

    Attributes:
        scores: `[batch]`, float32. The score of each sequence.
    """

    scores: Tensor


@dataclass(frozen=True, kw_only=True)
class TaggingBatch(Batch):
    """A batch for tagging, with one label per word.

    Attributes:
        positions: `[targets]`, int64. The index of each word's first token in the packed tokens.
            Each word occurs once; the words of a row are in their order.
        labels: `[targets]`, int64. The label of each word, or -100 if it has none.
    """

    positions: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Window:
    """A part of a paragraph that forms one sequence together with the question.

    Attributes:
        example: The index of the question in the batch's examples.
        begin: The index of the window's first token in its sequence.
        offsets: `[tokens, 2]`, int64. Start and end of each token in the paragraph's text, in
            characters.
    """

    example: int
    begin: int
    offsets: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class QuestionAnsweringBatch(Batch):
    """A batch for predicting the start and end of an answer.

    Attributes:
        start_positions: `[batch]`, int64. The index of the answer's first token in its sequence; 0,
            the index of [CLS], if the sequence has no answer.
        end_positions: `[batch]`, int64. The index of the answer's last token, or 0.
        windows: The part of the paragraph in each sequence; only in evaluation.
    """

    start_positions: Tensor
    end_positions: Tensor
    windows: tuple[Window, ...] = ()


ANSWER_TAGS = ("O", "B", "I")
"""Outside the answer, its first token, its other tokens; in the order of their ids."""


@dataclass(frozen=True, kw_only=True)
class AnswerTaggingBatch(Batch):
    """A batch for predicting one of the tags O, B and I for each token of a paragraph.

    Attributes:
        positions: `[targets]`, int64. The indices of the paragraphs' tokens in the packed tokens.
        labels: `[targets]`, int64. The index of each token's tag in `ANSWER_TAGS`.
        windows: The part of the paragraph in each sequence; only in evaluation.
    """

    positions: Tensor
    labels: Tensor
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MultipleChoiceBatch(Batch):
    """A batch for multiple choice, with one sequence per choice.

    Attributes:
        labels: `[batch / choices]`, int64. The right choice of each question. The choices of a
            question are adjacent in the batch.
        num_choices: The number of choices per question.
    """

    labels: Tensor
    num_choices: int


@dataclass(frozen=True, kw_only=True)
class EmbeddingBatch(Batch):
    """A batch for the vectors of texts.

    Attributes:
        text_ids: `[batch]`, int64. Equal for sequences with the same tokens, and not 0.
        scores: `[batch / views]`, float32. The score of each pair; 0 if it has none.
        is_scored: `[batch / views]`, int64. 1 if a pair has a score, else 0.
        is_pair: `[batch / views]`, int64. 1 if the positive is a text of its own, 0 if it is the
            anchor again.
        views: The number of sequences per row, which are adjacent: the anchor, the positive and a
            hard negative, if any; 1 in prediction.
    """

    text_ids: Tensor
    scores: Tensor
    is_scored: Tensor
    is_pair: Tensor
    views: int
