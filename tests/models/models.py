"""Models by their heads, and what they give on a packed batch."""

from torch import Tensor

from clozekit.config.encoder import EncoderConfig
from clozekit.data.packing import Packing
from clozekit.interop.head_names import HEADS_OF_SEQUENCES, make_model
from clozekit.models import EncoderWithHeads
from clozekit.tasks.pretraining import PretrainingOutput
from tests.models.batches import PackedBatch


def pretraining_model(config: EncoderConfig) -> EncoderWithHeads:
    return make_model(["masked_lm_head", "next_sentence_head"], config)


def pretraining_output(model: EncoderWithHeads, batch: PackedBatch) -> PretrainingOutput:
    """Both heads' logits, those of tokens at masked positions."""
    sequence_output, pooled_output = model(batch.input_ids, batch.token_type_ids, batch.packing)
    masked = sequence_output.index_select(0, batch.masked_lm_positions)
    return PretrainingOutput(model.masked_lm_head(masked), model.next_sentence_head(pooled_output))


def logits_of(
    model: EncoderWithHeads, input_ids: Tensor, token_type_ids: Tensor | None, packing: Packing
) -> Tensor:
    """The logits of a model's one head, of every sequence or of every token."""
    output = model(input_ids, token_type_ids, packing)
    ((name, head),) = model.heads.items()
    logits: Tensor = head(
        output.pooled_output if name in HEADS_OF_SEQUENCES else output.sequence_output
    )
    return logits
