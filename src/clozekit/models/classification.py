"""The model of tasks that classify or score whole sequences."""

from torch import Tensor, nn

from clozekit.config.encoder import EncoderConfig
from clozekit.data.packing import Packing
from clozekit.models.encoder import Encoder
from clozekit.models.heads import SequenceClassificationHead


class ClassificationModel(nn.Module):
    """The encoder with a classifier on its pooled output (Devlin et al., 2019, section 4.1).

    Args:
        config: The encoder's configuration.
        num_labels: The number of classes; 1 for regression.
        dropout: The dropout of the pooled output.

    Raises:
        ValueError: If the configuration has no `vocab_size`.
    """

    def __init__(self, config: EncoderConfig, num_labels: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.classification_head = SequenceClassificationHead(config, num_labels, dropout)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None, packing: Packing) -> Tensor:
        """Classifies a packed batch.

        Args:
            input_ids: `[tokens]`.
            token_type_ids: `[tokens]`, the segment of every token; None where all are of segment 0.
            packing: Where each sequence lies.

        Returns:
            Logits `[batch, labels]`.

        Raises:
            ValueError: If a sequence is longer than `max_position_embeddings`.
        """
        _, pooled_output = self.encoder(input_ids, token_type_ids, packing=packing)
        logits: Tensor = self.classification_head(pooled_output)
        return logits
