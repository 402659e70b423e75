"""The embeddings: from token ids to the input of the first block."""

from torch import Tensor, nn

from clozekit.config.encoder import EncoderConfig
from clozekit.models.kernels.dropout import Dropout
from clozekit.models.kernels.linear import Linear


class Embeddings(nn.Module):
    """The sum of token, position and segment embeddings, then LayerNorm and dropout.

    Devlin et al. (2019), section 3, figure 2; LayerNorm and dropout as in `embedding_postprocessor`
    of google-research/bert. With rotary positions there are no position embeddings, and without
    segment ids no segment embeddings. Embeddings of another size than the blocks' are projected
    (Clark et al., 2020).

    Raises:
        ValueError: If the configuration has no `vocab_size`.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        if config.vocab_size is None:
            raise ValueError("vocab_size=None must be the number of token ids of the tokenizer")
        size = config.embedding_size or config.hidden_size
        self.token_embeddings = nn.Embedding(config.vocab_size, size)
        self.position_embeddings = _position_embedding(config, size)
        self.token_type_embeddings = segment_embedding(config.type_vocab_size, size)
        self.layer_norm = nn.LayerNorm(size, eps=config.layer_norm_eps, bias=config.norm_bias)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.projection = (
            nn.Identity() if config.embedding_size is None else Linear(size, config.hidden_size)
        )

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
        output: Tensor = self.projection(self.dropout(self.layer_norm(embeddings)))
        return output


class ShiftedEmbedding(nn.Embedding):
    """An embedding of positions, in which the first position is not 0.

    Args:
        num_embeddings: The number of positions.
        embedding_dim: The size of each vector.
        offset: The first position of a sequence.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, offset: int) -> None:
        super().__init__(num_embeddings, embedding_dim)
        self.offset = offset

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (nn.Embedding's name)
        """Maps `[tokens]`, counted from 0, to `[tokens, size]`."""
        return super().forward(input + self.offset)


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
        """Returns 0.0, the neutral element of the sum."""
        return 0.0


def segment_embedding(type_vocab_size: int, hidden_size: int) -> nn.Module:
    """Makes the embedding of segment ids for their number: 0, 1 or more."""
    if type_vocab_size == 0:
        return NoEmbedding()
    kind = OneSegmentEmbedding if type_vocab_size == 1 else SegmentEmbedding
    return kind(type_vocab_size, hidden_size)


def _position_embedding(config: EncoderConfig, size: int) -> nn.Module:
    if config.position_embedding_type == "rotary":
        return NoEmbedding()
    if config.position_offset:
        return ShiftedEmbedding(config.max_position_embeddings, size, config.position_offset)
    return nn.Embedding(config.max_position_embeddings, size)
