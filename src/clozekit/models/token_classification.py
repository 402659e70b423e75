"""The model of tasks that give a label to every word."""

from torch import Tensor, nn

from clozekit.config.encoder import EncoderConfig
from clozekit.data.packing import Packing
from clozekit.models.encoder import Encoder
from clozekit.models.heads import TokenClassificationHead


class TokenClassificationModel(nn.Module):
    """The encoder with a classifier on single tokens (Devlin et al., 2019, section 5.3).

    Args:
        config: The encoder's configuration.
        num_labels: The number of classes.
        dropout: The dropout of the tokens' vectors.

    Raises:
        ValueError: If the configuration has no `vocab_size`.
    """

    def __init__(self, config: EncoderConfig, num_labels: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = Encoder(config, add_pooling_layer=False)
        self.token_classification_head = TokenClassificationHead(config, num_labels, dropout)

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor | None,
        packing: Packing,
        positions: Tensor,
    ) -> Tensor:
        """Classifies chosen tokens of a packed batch.

        Args:
            input_ids: `[tokens]`.
            token_type_ids: `[tokens]`, the segment of every token; None where all are of segment 0.
            packing: Where each sequence lies.
            positions: `[targets]`, the places of the tokens to classify among the packed tokens.

        Returns:
            Logits `[targets, labels]`.

        Raises:
            ValueError: If a sequence is longer than `max_position_embeddings`.
        """
        sequence_output = self.encoder(input_ids, token_type_ids, packing=packing).sequence_output
        logits: Tensor = self.token_classification_head(sequence_output.index_select(0, positions))
        return logits
