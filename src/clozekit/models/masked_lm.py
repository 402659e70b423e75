"""The model of MLM alone: the encoder without a pooler, and the masked language model."""

from torch import Tensor, nn

from clozekit.config.encoder import EncoderConfig
from clozekit.data.packing import Packing
from clozekit.models.encoder import Encoder
from clozekit.models.heads import MaskedLMHead
from clozekit.models.kernels.linear_cross_entropy import CrossEntropy


class MaskedLMModel(nn.Module):
    """The encoder with the head that predicts masked tokens (Devlin et al., 2019, section 3.1).

    Raises:
        ValueError: If the configuration has no `vocab_size`.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config, add_pooling_layer=False)
        self.masked_lm_head = MaskedLMHead(config, self.encoder.embeddings.token_embeddings)

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor | None,
        packing: Packing,
        masked_lm_positions: Tensor,
    ) -> Tensor:
        """Predicts masked tokens.

        Args:
            input_ids: `[tokens]`.
            token_type_ids: `[tokens]`, the segment of every token; None where all are of segment 0.
            packing: Where each sequence lies.
            masked_lm_positions: `[targets]`, the places of masked tokens among the packed tokens.

        Returns:
            Logits `[targets, vocab]`, at masked positions alone.

        Raises:
            ValueError: If a sequence is longer than `max_position_embeddings`.
        """
        sequence_output = self.encoder(input_ids, token_type_ids, packing=packing).sequence_output
        logits: Tensor = self.masked_lm_head(sequence_output.index_select(0, masked_lm_positions))
        return logits

    def cross_entropy(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor | None,
        packing: Packing,
        masked_lm_positions: Tensor,
        masked_lm_labels: Tensor,
    ) -> CrossEntropy:
        """Judges what `forward` would predict, without the logits of all masked tokens at once.

        Args:
            input_ids: `[tokens]`; this and the next three as in `forward`.
            token_type_ids: `[tokens]` or None.
            packing: Where each sequence lies.
            masked_lm_positions: `[targets]`.
            masked_lm_labels: `[targets]`, the ids that stood there.

        Raises:
            ValueError: If a sequence is longer than `max_position_embeddings`.
        """
        sequence_output = self.encoder(input_ids, token_type_ids, packing=packing).sequence_output
        masked = sequence_output.index_select(0, masked_lm_positions)
        return self.masked_lm_head.cross_entropy(masked, masked_lm_labels)
