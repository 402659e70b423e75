"""Pooling of token vectors, and the projections below the heads."""

from torch import Tensor, nn

from clozekit.config.encoder import EncoderConfig
from clozekit.data.packing import Packing
from clozekit.models.kernels.linear import Linear
from clozekit.models.precision import upcast

_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}


class DenseLayer(nn.Linear):
    """A linear layer and an activation: with tanh, BERT's pooler (Devlin et al., 2019, section 3).

    The heads of RoBERTa have the same layer, those of DistilBERT one with ReLU, and those of
    ELECTRA one with GELU.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config.hidden_size, config.hidden_size, bias=config.classifier_bias)
        self.activation = _ACTIVATIONS[config.classifier_activation]()

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name that nn.Linear gives it)
        """Maps `[batch, hidden]` to `[batch, hidden]`."""
        output: Tensor = self.activation(super().forward(input))
        return output


class PredictionLayer(nn.Module):
    """A linear layer, an activation and LayerNorm (`ModernBertPredictionHead` of transformers)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.dense = Linear(hidden, hidden, bias=config.classifier_bias)
        self.activation = _ACTIVATIONS[config.classifier_activation]()
        self.norm = nn.LayerNorm(hidden, eps=config.layer_norm_eps, bias=config.norm_bias)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Maps `[n, hidden]` to `[n, hidden]`."""
        output: Tensor = self.norm(self.activation(self.dense(hidden_states)))
        return output


def make_pooler(config: EncoderConfig) -> nn.Module:
    """Makes the layer between the vector of a sequence and the heads on it."""
    return PredictionLayer(config) if config.prediction_head else DenseLayer(config)


def make_token_layer(config: EncoderConfig) -> nn.Module:
    """Makes the layer between the vectors of tokens and the heads on them."""
    return PredictionLayer(config) if config.prediction_head else nn.Identity()


def first_tokens(hidden_states: Tensor, packing: Packing) -> Tensor:
    """Returns `[batch, hidden]`, the vector of each sequence's first token."""
    # Empty sequences at the end, which fill a batch up, have no first token.
    return hidden_states.index_select(0, packing.first_tokens.clamp(max=packing.num_tokens - 1))


def means(hidden_states: Tensor, packing: Packing) -> Tensor:
    """Returns `[batch, hidden]`, the mean of each sequence's vectors, in float32 at least."""
    wide = upcast(hidden_states)
    sums = wide.new_zeros(packing.batch_size, wide.shape[1])
    sums = sums.index_add(0, packing.sequence_ids, wide)
    lengths = packing.cu_seqlens.diff().clamp(min=1)
    return (sums / lengths[:, None]).to(hidden_states.dtype)
