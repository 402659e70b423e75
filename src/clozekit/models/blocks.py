"""The Transformer block."""

from torch import Tensor, nn

from clozekit.config.encoder import EncoderConfig
from clozekit.models.attention import SelfAttention
from clozekit.models.kernels.dropout import Dropout
from clozekit.models.kernels.grouping import Grouping
from clozekit.models.kernels.linear import GELULinear, Linear


def gelu_approximation(config: EncoderConfig) -> str:
    """Returns torch's name for the GELU of `hidden_act`: "none" if exact, or "tanh".

    Hendrycks and Gimpel (2016).
    """
    return "tanh" if config.hidden_act == "gelu_pytorch_tanh" else "none"


class FeedForward(nn.Module):
    """Two linear layers with GELU between them, applied to every token."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.intermediate = Linear(config.hidden_size, config.intermediate_size)
        self.output = GELULinear(
            config.intermediate_size, config.hidden_size, gelu_approximation(config)
        )

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Maps `[tokens, hidden]` to `[tokens, hidden]`, through `[tokens, intermediate]`."""
        output: Tensor = self.output(self.intermediate(hidden_states))
        return output


class Block(nn.Module):
    """Attention, then feed-forward; after each dropout, the residual and LayerNorm (post-norm).

    Devlin et al. (2019), section 3; Vaswani et al. (2017), section 3.1.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: Tensor, grouping: Grouping) -> Tensor:
        """Maps `[tokens, hidden]` to `[tokens, hidden]`; arguments as in `SelfAttention`."""
        attended = self.dropout(self.attention(hidden_states, grouping))
        hidden_states = self.attention_norm(hidden_states + attended)
        transformed = self.dropout(self.feed_forward(hidden_states))
        output: Tensor = self.feed_forward_norm(hidden_states + transformed)
        return output
