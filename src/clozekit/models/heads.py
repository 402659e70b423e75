"""The heads on the encoder, one for each kind of prediction."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from clozekit.config.encoder import EncoderConfig
from clozekit.models.blocks import gelu_approximation
from clozekit.models.initialization import init_classifier, init_weights
from clozekit.models.kernels.dropout import Dropout
from clozekit.models.kernels.linear import Linear, linear
from clozekit.models.kernels.linear_cross_entropy import CrossEntropy, linear_cross_entropy
from clozekit.models.pooling import make_token_layer
from clozekit.models.precision import upcast


class MaskedLMHead(nn.Module):
    """Predicts masked tokens (`get_masked_lm_output` of google-research/bert).

    A dense layer, GELU and LayerNorm, then the product with the token embeddings plus a separate
    bias.

    Args:
        config: The encoder's configuration.
        token_embedding: The encoder's token embedding. Its weight is a parameter of the encoder
            only, so a model's state dict has it once.

    Attributes:
        compiles_loss: Whether `cross_entropy` compiles its elementwise part; only on a GPU.
    """

    def __init__(self, config: EncoderConfig, token_embedding: nn.Embedding) -> None:
        super().__init__()
        size = token_embedding.embedding_dim
        self.dense = Linear(config.hidden_size, size, bias=config.classifier_bias)
        self.activation = nn.GELU(gelu_approximation(config))
        self.layer_norm = nn.LayerNorm(size, eps=config.layer_norm_eps, bias=config.norm_bias)
        self.bias = nn.Parameter(torch.zeros(token_embedding.num_embeddings))
        self.compiles_loss = False
        # In a tuple, so that torch does not register the module a second time.
        self._tied = (token_embedding,)
        init_weights(self, config.initializer_range)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Maps the vectors of masked tokens, `[targets, hidden]`, to logits `[targets, vocab]`."""
        return linear(self._transform(hidden_states), self._tied[0].weight, self.bias)

    def cross_entropy(self, hidden_states: Tensor, labels: Tensor) -> CrossEntropy:
        """Computes the cross-entropy without the logits of all masked tokens at once.

        Args:
            hidden_states: `[targets, hidden]`.
            labels: `[targets]`, int64: the ids of the original tokens.
        """
        transformed = self._transform(hidden_states)
        return linear_cross_entropy(
            transformed, self._tied[0].weight, self.bias, labels, self.compiles_loss
        )

    def _transform(self, hidden_states: Tensor) -> Tensor:
        transformed: Tensor = self.layer_norm(self.activation(self.dense(hidden_states)))
        return transformed


class NextSentenceHead(nn.Module):
    """Predicts whether B follows A (`get_next_sentence_output` of google-research/bert).

    Label 0 is the true continuation, 1 a random one.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.seq_relationship = nn.Linear(config.hidden_size, 2)
        init_weights(self, config.initializer_range)

    def forward(self, pooled_output: Tensor) -> Tensor:
        """Maps `[batch, hidden]` to logits `[batch, 2]`."""
        logits: Tensor = self.seq_relationship(pooled_output)
        return logits

    def cross_entropy(self, pooled_output: Tensor, labels: Tensor) -> CrossEntropy:
        """Computes the cross-entropy, in float32 at least, and counts the right predictions.

        Args:
            pooled_output: `[batch, hidden]`.
            labels: `[batch]`, int64.
        """
        logits = upcast(self(pooled_output))
        loss_sum = F.cross_entropy(logits, labels, reduction="sum")
        return CrossEntropy(loss_sum, (logits.argmax(dim=-1) == labels).sum())


class SequenceClassificationHead(nn.Module):
    """Classifies whole sequences: dropout and a linear layer (Devlin et al., 2019, section 4.1).

    Args:
        config: The encoder's configuration.
        num_labels: The number of classes; 1 for regression.
        dropout: The dropout of the pooled output.
    """

    def __init__(self, config: EncoderConfig, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(config.hidden_size, num_labels)
        init_classifier(self.classifier, config.initializer_range)

    def forward(self, pooled_output: Tensor) -> Tensor:
        """Maps `[batch, hidden]` to logits `[batch, labels]`."""
        logits: Tensor = self.classifier(self.dropout(pooled_output))
        return logits


class TokenClassificationHead(nn.Module):
    """Classifies single tokens: dropout and a linear layer (Devlin et al., 2019, section 5.3).

    Args:
        config: The encoder's configuration.
        num_labels: The number of classes.
        dropout: The dropout of the tokens' vectors.
    """

    def __init__(self, config: EncoderConfig, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.layer = make_token_layer(config)
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(config.hidden_size, num_labels)
        init_weights(self.layer, config.initializer_range)
        init_classifier(self.classifier, config.initializer_range)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Maps `[targets, hidden]` to logits `[targets, labels]`."""
        logits: Tensor = self.classifier(self.dropout(self.layer(hidden_states)))
        return logits


class AnswerSpanHead(nn.Module):
    """Scores tokens as the first and last of an answer (Devlin et al., 2019, section 4.2)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.layer = make_token_layer(config)
        self.outputs = nn.Linear(config.hidden_size, 2)
        init_weights(self.layer, config.initializer_range)
        init_classifier(self.outputs, config.initializer_range)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Maps `[tokens, hidden]` to logits `[tokens, 2]` of the first and the last token."""
        logits: Tensor = self.outputs(self.layer(hidden_states))
        return logits
