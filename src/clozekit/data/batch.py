"""What the loaders give and the tasks read: packed sequences, their labels, and their step."""

from dataclasses import dataclass

from torch import Tensor

from clozekit.data.order import Position
from clozekit.data.packing import Packing, TensorContainer


@dataclass(frozen=True)
class Step:
    """The global step that a training micro-batch is part of.

    Attributes:
        index: The global step, from 0.
        micro_step: The micro-batch's number in the step on its rank, from 0.
        num_sequences: Sequences in the whole global batch.
        num_tokens: Real tokens in the whole global batch.
        num_targets: What the task's loss is averaged over, in the whole global batch.
        next_position: Where the stream goes on after the step.
    """

    index: int
    micro_step: int
    num_sequences: int
    num_tokens: int
    num_targets: int
    next_position: Position


@dataclass(frozen=True, kw_only=True)
class Batch(TensorContainer):
    """Sequences laid end to end.

    Attributes:
        input_ids: `[tokens]`, int64.
        token_type_ids: `[tokens]`, int64. The segment of every token, 0 or 1.
        packing: Where each sequence lies.
        sample_ids: `[batch, 3]`, int64. Epoch, shard and sample of every sequence.
        step: The global step that the batch is part of; None in evaluation.
    """

    input_ids: Tensor
    token_type_ids: Tensor
    packing: Packing
    sample_ids: Tensor
    step: Step | None = None

    @property
    def batch_size(self) -> int:
        """The number of sequences."""
        return self.packing.batch_size

    def padded(self) -> dict[str, Tensor]:
        """The same inputs as other libraries read them, each `[batch, max_seqlen]`."""
        return {
            "input_ids": self.packing.pad(self.input_ids),
            "token_type_ids": self.packing.pad(self.token_type_ids),
            "attention_mask": self.packing.attention_mask.long(),
        }


@dataclass(frozen=True, kw_only=True)
class PretrainingBatch(Batch):
    """A batch for MLM and NSP.

    Attributes:
        masked_lm_positions: `[targets]`, int64. The chosen tokens' indices among the packed tokens.
        masked_lm_labels: `[targets]`, int64. The ids that stood there.
        next_sentence_label: `[batch]`, int64. 0 where B continues A, 1 where B is random.
    """

    masked_lm_positions: Tensor
    masked_lm_labels: Tensor
    next_sentence_label: Tensor


@dataclass(frozen=True, kw_only=True)
class ClassificationBatch(Batch):
    """A batch for the classification of sequences.

    Attributes:
        labels: `[batch]`, int64. The class of every sequence.
    """

    labels: Tensor
