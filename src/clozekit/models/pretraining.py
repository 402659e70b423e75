"""The model of BERT's pretraining: the encoder, the masked language model, next sentences."""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from clozekit.config.encoder import EncoderConfig
from clozekit.data.packing import Packing
from clozekit.models.encoder import Encoder
from clozekit.models.heads import MaskedLMHead, NextSentenceHead
from clozekit.models.kernels.linear_cross_entropy import CrossEntropy
from clozekit.models.precision import upcast


class PretrainingOutput(NamedTuple):
    """The logits of both pretraining tasks.

    Attributes:
        prediction_logits: `[targets, vocab]`, at masked positions alone.
        seq_relationship_logits: `[batch, 2]`; 0 is the true continuation, 1 a random one.
    """

    prediction_logits: Tensor
    seq_relationship_logits: Tensor


class PretrainingLosses(NamedTuple):
    """What both pretraining tasks come to, each summed over its targets.

    Attributes:
        masked_lm: Of the masked tokens.
        next_sentence: Of the pairs.
    """

    masked_lm: CrossEntropy
    next_sentence: CrossEntropy


class PretrainingModel(nn.Module):
    """The encoder with both heads of pretraining (Devlin et al., 2019, section 3.1).

    Raises:
        ValueError: If the configuration has no `vocab_size`.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.masked_lm_head = MaskedLMHead(config, self.encoder.embeddings.token_embeddings)
        self.next_sentence_head = NextSentenceHead(config)

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor | None,
        packing: Packing,
        masked_lm_positions: Tensor,
    ) -> PretrainingOutput:
        """Predicts masked tokens and the order of the segments.

        Args:
            input_ids: `[tokens]`.
            token_type_ids: `[tokens]`, the segment of every token; None where all are of segment 0.
            packing: Where each sequence lies.
            masked_lm_positions: `[targets]`, the places of masked tokens among the packed tokens.

        Returns:
            The logits.

        Raises:
            ValueError: If a sequence is longer than `max_position_embeddings`.
        """
        sequence_output, pooled_output = self.encoder(input_ids, token_type_ids, packing=packing)
        return PretrainingOutput(
            self.masked_lm_head(sequence_output.index_select(0, masked_lm_positions)),
            self.next_sentence_head(pooled_output),
        )

    def losses(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor | None,
        packing: Packing,
        masked_lm_positions: Tensor,
        masked_lm_labels: Tensor,
        next_sentence_label: Tensor,
    ) -> PretrainingLosses:
        """Judges what `forward` would predict, without the logits of all masked tokens at once.

        Args:
            input_ids: `[tokens]`; this and the next three as in `forward`.
            token_type_ids: `[tokens]` or None.
            packing: Where each sequence lies.
            masked_lm_positions: `[targets]`.
            masked_lm_labels: `[targets]`, the ids that stood there.
            next_sentence_label: `[batch]`; 0 is the true continuation, 1 a random one.

        Raises:
            ValueError: If a sequence is longer than `max_position_embeddings`.
        """
        sequence_output, pooled_output = self.encoder(input_ids, token_type_ids, packing=packing)
        masked = sequence_output.index_select(0, masked_lm_positions)
        logits = upcast(self.next_sentence_head(pooled_output))
        return PretrainingLosses(
            self.masked_lm_head.cross_entropy(masked, masked_lm_labels),
            CrossEntropy(
                F.cross_entropy(logits, next_sentence_label, reduction="sum"),
                (logits.argmax(dim=-1) == next_sentence_label).sum(),
            ),
        )
