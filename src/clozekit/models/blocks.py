"""The Transformer blocks."""

from torch import Tensor, nn

from clozekit.config.encoder import EncoderConfig
from clozekit.models.attention import SelfAttention
from clozekit.models.kernels.dropout import Dropout
from clozekit.models.kernels.linear import GatedGELULinear, GELULinear, Linear
from clozekit.models.layout import Layout


def gelu_approximation(config: EncoderConfig) -> str:
    """Returns torch's name for the GELU of `hidden_act`: "none" if exact, or "tanh".

    Hendrycks and Gimpel (2016).
    """
    return "tanh" if config.hidden_act == "gelu_pytorch_tanh" else "none"


class FeedForward(nn.Module):
    """Two linear layers with GELU between them, applied to every token."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        inner, bias = config.intermediate_size, config.mlp_bias
        make = GatedGELULinear if config.gated_feed_forward else GELULinear
        width = 2 * inner if config.gated_feed_forward else inner
        self.intermediate = Linear(config.hidden_size, width, bias=bias)
        self.intermediate.num_matrices = width // inner
        self.output = make(inner, config.hidden_size, gelu_approximation(config), bias=bias)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Maps `[tokens, hidden]` to `[tokens, hidden]`, through `[tokens, intermediate]`."""
        output: Tensor = self.output(self.intermediate(hidden_states))
        return output


class Block(nn.Module):
    """Attention, then feed-forward; after each dropout, the residual and LayerNorm (post-norm).

    Devlin et al. (2019), section 3; Vaswani et al. (2017), section 3.1.

    Args:
        config: The encoder's configuration.
        layer: The number of the layer, from 0.
    """

    def __init__(self, config: EncoderConfig, layer: int) -> None:
        super().__init__()
        self.attention = SelfAttention(config, layer)
        self.attention_norm = layer_norm(config)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = layer_norm(config)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: Tensor, layout: Layout) -> Tensor:
        """Maps `[tokens, hidden]` to `[tokens, hidden]`; arguments as in `SelfAttention`."""
        attended = self.dropout(self.attention(hidden_states, layout))
        hidden_states = self.attention_norm(hidden_states + attended)
        transformed = self.dropout(self.feed_forward(hidden_states))
        output: Tensor = self.feed_forward_norm(hidden_states + transformed)
        return output


class PreNormBlock(nn.Module):
    """Attention, then feed-forward; LayerNorm before each, and a residual around both (pre-norm).

    Xiong et al. (2020), figure 1b. The input of the first layer is normalized already, so its
    `attention_norm` is left out, as in ModernBERT (Warner et al., 2024).

    Args:
        config: The encoder's configuration.
        layer: The number of the layer, from 0.
    """

    def __init__(self, config: EncoderConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = layer_norm(config) if layer else nn.Identity()
        self.attention = SelfAttention(config, layer)
        self.feed_forward_norm = layer_norm(config)
        self.feed_forward = FeedForward(config)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: Tensor, layout: Layout) -> Tensor:
        """Maps `[tokens, hidden]` to `[tokens, hidden]`; arguments as in `SelfAttention`."""
        attended = self.attention(self.attention_norm(hidden_states), layout)
        hidden_states = hidden_states + self.dropout(attended)
        transformed = self.feed_forward(self.feed_forward_norm(hidden_states))
        output: Tensor = hidden_states + self.dropout(transformed)
        return output


def layer_norm(config: EncoderConfig) -> nn.LayerNorm:
    """Makes a LayerNorm over the hidden size."""
    return nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=config.norm_bias)
