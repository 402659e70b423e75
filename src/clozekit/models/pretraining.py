"""The model of BERT's pretraining: the encoder, the masked language model, next sentences."""

from typing import NamedTuple

from torch import Tensor, nn

from clozekit.config.encoder import EncoderConfig
from clozekit.data.packing import Packing
from clozekit.models.encoder import Encoder
from clozekit.models.heads import MaskedLMHead, NextSentenceHead


class PretrainingOutput(NamedTuple):
    """The logits of both pretraining tasks.

    Attributes:
        prediction_logits: `[targets, vocab]`, at masked positions alone.
        seq_relationship_logits: `[batch, 2]`; 0 is the true continuation, 1 a random one.
    """

    prediction_logits: Tensor
    seq_relationship_logits: Tensor


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
