"""Self-attention over packed tokens."""

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from clozekit.config.encoder import EncoderConfig
from clozekit.data.packing import Packing
from clozekit.models.dropout import dropout
from clozekit.models.linear import Linear


class SelfAttention(nn.Module):
    """Multi-head attention of every token to the tokens of its own sequence.

    Vaswani et al. (2017), section 3.2.2. Query, key and value come from one matrix product. Only
    the attention itself sees the padded form: what goes in and out is packed.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.dropout_prob = config.attention_probs_dropout_prob
        self.qkv = Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: Tensor, packing: Packing, key_mask: Tensor | None) -> Tensor:
        """Mixes the tokens of each sequence.

        Args:
            hidden_states: `[tokens, hidden]`.
            packing: Where each sequence lies.
            key_mask: `[batch, 1, 1, seq_len]`, bool, True at real tokens; None where no sequence is
                padded.

        Returns:
            `[tokens, hidden]`.
        """
        # [tokens, 3 * hidden] to [batch, seq_len, 3, heads, head_dim] in one copy, or none.
        qkv = packing.pad(self.qkv(hidden_states).unflatten(-1, (3, self.num_heads, -1)))
        query, key, value = qkv.transpose(1, 3).unbind(2)
        dropout_prob = self.dropout_prob if self.training else 0.0
        context = _attend(query, key, value, key_mask, dropout_prob)
        # [batch, heads, seq_len, head_dim] to [tokens, hidden].
        output: Tensor = self.output(packing.unpad(context.transpose(1, 2)).flatten(1))
        return output


def _attend(
    query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None, dropout_prob: float
) -> Tensor:
    """Scaled dot-product attention of `[batch, heads, seq_len, head_dim]`."""
    if dropout_prob == 0 or query.device.type != "cpu":
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=key_mask, dropout_p=dropout_prob
        )
    # torch's kernel for the CPU has no dropout: it falls back to these steps, with a slower draw.
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    if key_mask is not None:
        scores = scores.masked_fill(~key_mask, float("-inf"))
    return dropout(scores.softmax(-1), dropout_prob, training=True) @ value
