"""The embeddings: from token ids to the input of the first block."""

from torch import Tensor, nn

from clozekit.config.encoder import EncoderConfig
from clozekit.models.kernels.dropout import Dropout


class Embeddings(nn.Module):
    """The sum of token, position and segment embeddings, then LayerNorm and dropout.

    Devlin et al. (2019), section 3, figure 2; LayerNorm and dropout as in `embedding_postprocessor`
    of google-research/bert. With rotary positions there are no position embeddings, and without
    segment ids no segment embeddings.

    Raises:
        ValueError: If the configuration has no `vocab_size`.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        if config.vocab_size is None:
            raise ValueError("vocab_size=None must be the number of token ids of the tokenizer")
        hidden = config.hidden_size
        self.token_embeddings = nn.Embedding(config.vocab_size, hidden)
        self.position_embeddings = (
            nn.Embedding(config.max_position_embeddings, hidden)
            if config.position_embedding_type == "absolute"
            else NoEmbedding()
        )
        self.token_type_embeddings = segment_embedding(config.type_vocab_size, hidden)
        self.layer_norm = nn.LayerNorm(hidden, eps=config.layer_norm_eps, bias=config.norm_bias)
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
        embeddings = self.token_embeddings(input_ids) + self.position_embeddings(position_ids)
        embeddings = embeddings + self.token_type_embeddings(token_type_ids)
        normalized: Tensor = self.dropout(self.layer_norm(embeddings))
        return normalized


class SegmentEmbedding(nn.Embedding):
    """An embedding of segment ids, which may be left out if all are 0."""

    def forward(self, input: Tensor | None) -> Tensor:  # noqa: A002 (nn.Embedding's name)
        """Maps `[tokens]` to `[tokens, hidden]`; None to `[hidden]`, that of segment 0."""
        return self.weight[0] if input is None else super().forward(input)


class OneSegmentEmbedding(SegmentEmbedding):
    """The embedding of an encoder with one segment, to which all tokens belong, as in RoBERTa."""

    def forward(self, input: Tensor | None) -> Tensor:  # noqa: A002 (nn.Embedding's name)
        """Returns `[hidden]`, whatever the segments of a pair are."""
        return super().forward(None)


class NoEmbedding(nn.Module):
    """Stands for an embedding that the encoder does not have."""

    def forward(self, ids: Tensor | None) -> float:
        """Returns 0, which changes no sum."""
        return 0.0


def segment_embedding(type_vocab_size: int, hidden_size: int) -> nn.Module:
    """Makes the embedding of segment ids for their number: 0, 1 or more."""
    if type_vocab_size == 0:
        return NoEmbedding()
    kind = OneSegmentEmbedding if type_vocab_size == 1 else SegmentEmbedding
    return kind(type_vocab_size, hidden_size)
