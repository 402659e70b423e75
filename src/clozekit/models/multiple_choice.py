"""The model that chooses one of several continuations or answers."""

from torch import Tensor, nn

from clozekit.config.encoder import EncoderConfig
from clozekit.data.packing import Packing
from clozekit.models.encoder import Encoder
from clozekit.models.heads import SequenceClassificationHead


class MultipleChoiceModel(nn.Module):
    """The encoder with one score a choice, from its [CLS] (section 4.4 of the paper).

    Args:
        config: The encoder's configuration.
        dropout: The dropout of the pooled output.

    Raises:
        ValueError: If the configuration has no `vocab_size`.
    """

    def __init__(self, config: EncoderConfig, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.multiple_choice_head = SequenceClassificationHead(config, 1, dropout)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None, packing: Packing) -> Tensor:
        """Scores the sequences of a packed batch, one a choice.

        Args:
            input_ids: `[tokens]`.
            token_type_ids: `[tokens]`, the segment of every token; None where all are of segment 0.
            packing: Where each sequence lies.

        Returns:
            Logits `[batch]`; a softmax over the choices of one question gives probabilities.

        Raises:
            ValueError: If a sequence is longer than `max_position_embeddings`.
        """
        _, pooled_output = self.encoder(input_ids, token_type_ids, packing=packing)
        logits: Tensor = self.multiple_choice_head(pooled_output)
        return logits.squeeze(-1)
