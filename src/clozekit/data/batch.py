"""What the tasks read: packed sequences and their labels."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from clozekit.data.packing import Packing, TensorContainer


@dataclass(frozen=True, kw_only=True)
class Batch(TensorContainer):
    """Sequences laid end to end.

    Attributes:
        input_ids: `[tokens]`, int64.
        token_type_ids: `[tokens]`, int64. The segment of every token, 0 or 1.
        packing: Where each sequence lies.
        sample_ids: `[batch, 3]`, int64. Epoch, shard and sample of every sequence; they stay on the
            CPU, where they are read.
        examples: In evaluation of labelled rows, the rows that the sequences were made of.
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
        """Moves every tensor but `sample_ids`, as `torch.Tensor.to` does."""
        return self._map(
            lambda tensor: tensor if tensor is self.sample_ids else tensor.to(*args, **kwargs)
        )

    def padded(self) -> dict[str, Tensor]:
        """The same inputs as other libraries read them, each `[batch, max_seqlen]`."""
        return {
            "input_ids": self.packing.pad(self.input_ids),
            "token_type_ids": self.packing.pad(self.token_type_ids),
            "attention_mask": self.packing.attention_mask.long(),
        }


@dataclass(frozen=True, kw_only=True)
class MaskedLMBatch(Batch):
    """A batch for MLM.

    Attributes:
        masked_lm_positions: `[targets]`, int64. The chosen tokens' indices among the packed tokens.
        masked_lm_labels: `[targets]`, int64. The ids that stood there.
    """

    masked_lm_positions: Tensor
    masked_lm_labels: Tensor


@dataclass(frozen=True, kw_only=True)
class PretrainingBatch(MaskedLMBatch):
    """A batch for MLM and NSP.

    Attributes:
        next_sentence_label: `[batch]`, int64. 0 where B continues A, 1 where B is random.
    """

    next_sentence_label: Tensor


@dataclass(frozen=True, kw_only=True)
class ClassificationBatch(Batch):
    """A batch for the classification of sequences.

    Attributes:
        labels: `[batch]`, int64, the class of every sequence; or, where a sequence may have several
            labels at once, `[batch, labels]`, float32, 1 for those that it has.
    """

    labels: Tensor


@dataclass(frozen=True, kw_only=True)
class RegressionBatch(Batch):
    """A batch for the scoring of sequences.

    Attributes:
        scores: `[batch]`, float32. The score of every sequence.
    """

    scores: Tensor


@dataclass(frozen=True, kw_only=True)
class TaggingBatch(Batch):
    """A batch for a label a word.

    Attributes:
        positions: `[targets]`, int64. The places of the words' first tokens among the packed
            tokens, every word once; a row's words stand in their order.
        labels: `[targets]`, int64. The label of every word; -100 for none.
    """

    positions: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Window:
    """A piece of a paragraph that stands in a sequence of its own, behind the question.

    Attributes:
        example: The place of its question among the batch's examples.
        begin: The place of the piece's first token in its sequence.
        offsets: `[tokens, 2]`, int64. Where each of its tokens lies in the paragraph's text, in
            characters.
    """

    example: int
    begin: int
    offsets: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class QuestionAnsweringBatch(Batch):
    """A batch for the two ends of an answer.

    Attributes:
        start_positions: `[batch]`, int64. The place in its sequence of the answer's first token; 0,
            that of [CLS], where the sequence has no answer.
        end_positions: `[batch]`, int64. The place of the answer's last token, or 0.
        windows: In evaluation, the piece of the paragraph in every sequence.
    """

    start_positions: Tensor
    end_positions: Tensor
    windows: tuple[Window, ...] = ()


ANSWER_TAGS = ("O", "B", "I")
"""Outside of the answer, its first token, another of its tokens; in the order of their ids."""


@dataclass(frozen=True, kw_only=True)
class AnswerTaggingBatch(Batch):
    """A batch for one of O, B and I for every token of a paragraph.

    Attributes:
        positions: `[targets]`, int64. The places of the paragraphs' tokens among the packed tokens.
        labels: `[targets]`, int64. The place of each one's tag in `ANSWER_TAGS`.
        windows: In evaluation, the piece of the paragraph in every sequence.
    """

    positions: Tensor
    labels: Tensor
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MultipleChoiceBatch(Batch):
    """A batch for the choice among several sequences.

    Attributes:
        labels: `[batch / choices]`, int64. The right choice of every question, whose choices stand
            next to each other.
        num_choices: The number of choices of a question.
    """

    labels: Tensor
    num_choices: int
