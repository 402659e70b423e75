"""The embeddings: from token ids to the input of the first block."""

from torch import Tensor, nn

from clozekit.config.encoder import EncoderConfig
from clozekit.models.kernels.dropout import Dropout


class Embeddings(nn.Module):
    """The sum of token, position and segment embeddings, then LayerNorm and dropout.

    Devlin et al. (2019), section 3, figure 2; LayerNorm and dropout as in `embedding_postprocessor`
    of google-research/bert.

    Raises:
        ValueError: If the configuration has no `vocab_size`.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        if config.vocab_size is None:
            raise ValueError("vocab_size=None must be the number of token ids of the tokenizer")
        self.token_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(
        self, input_ids: Tensor, token_type_ids: Tensor | None, position_ids: Tensor
    ) -> Tensor:
        """Embeds tokens.

        Args:
            input_ids: `[tokens]`.
            token_type_ids: `[tokens]`, the segment of every token; None if all are of segment 0.
            position_ids: `[tokens]`, the position of every token in its own sequence.

        Returns:
            `[tokens, hidden]`.
        """
        if token_type_ids is None:
            segments: Tensor = self.token_type_embeddings.weight[0]
        else:
            segments = self.token_type_embeddings(token_type_ids)
        embeddings = self.token_embeddings(input_ids) + self.position_embeddings(position_ids)
        normalized: Tensor = self.dropout(self.layer_norm(embeddings + segments))
        return normalized
