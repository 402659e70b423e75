"""Self-attention over packed tokens."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from clozekit.config.encoder import EncoderConfig
from clozekit.models import varlen
from clozekit.models.dropout import dropout
from clozekit.models.grouping import Group, Grouping
from clozekit.models.linear import Linear
from clozekit.models.precision import at_least_float32


class SelfAttention(nn.Module):
    """Multi-head attention of every token to the tokens of its own sequence.

    Vaswani et al. (2017), section 3.2.2. Query, key and value come from one matrix product. Only
    the attention itself sees the padded form, on the CPU in groups of sequences of like length, and
    on most GPUs not even that: what goes in and out is packed.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.dropout_prob = config.attention_probs_dropout_prob
        self.qkv = Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: Tensor, grouping: Grouping) -> Tensor:
        """Mixes the tokens of each sequence.

        Args:
            hidden_states: `[tokens, hidden]`.
            grouping: Where each sequence lies, and which are padded together.

        Returns:
            `[tokens, hidden]`.
        """
        # [tokens, 3 * hidden] to [tokens, 3, heads, head_dim].
        qkv = self.qkv(hidden_states).unflatten(-1, (3, self.num_heads, -1))
        dropout_prob = self.dropout_prob if self.training else 0.0
        if varlen.can_attend(qkv, dropout_prob):
            context = varlen.attend(qkv, grouping.packing)
        elif len(grouping.groups) == 1:
            context = _attend_padded(qkv, grouping.groups[0], dropout_prob)
        else:
            of_groups = qkv.split([group.packing.num_tokens for group in grouping.groups])
            context = torch.cat(
                [
                    _attend_padded(of_group, group, dropout_prob)
                    for of_group, group in zip(of_groups, grouping.groups, strict=True)
                ]
            )
        output: Tensor = self.output(context.flatten(1))
        return output


def _attend_padded(qkv: Tensor, group: Group, dropout_prob: float) -> Tensor:
    """From `[tokens, 3, heads, head_dim]` to `[tokens, heads, head_dim]` by the padded form."""
    # To [batch, seq_len, 3, heads, head_dim] in one copy, or none.
    query, key, value = group.packing.pad(qkv).transpose(1, 3).unbind(2)
    context = _attend(query, key, value, group.key_mask, dropout_prob)
    # [batch, heads, seq_len, head_dim] to [tokens, heads, head_dim].
    return group.packing.unpad(context.transpose(1, 2))


def _attend(
    query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None, dropout_prob: float
) -> Tensor:
    """Scaled dot-product attention of `[batch, heads, seq_len, head_dim]`."""
    if dropout_prob == 0 or query.device.type != "cpu":
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=key_mask, dropout_p=dropout_prob
        )
    # torch's kernel for the CPU has no dropout: it falls back to these steps, with more passes over
    # the scores and a slower draw. As in every such kernel, scores are not of half precision.
    batch_size, num_heads = query.shape[:2]
    wide = at_least_float32(query.dtype)
    bias, beta = query.new_zeros(1, 1, 1, dtype=wide), 0
    if key_mask is not None:
        masked = torch.zeros_like(key_mask, dtype=wide).masked_fill(~key_mask, float("-inf"))
        bias, beta = masked.expand(batch_size, num_heads, -1, -1).flatten(0, 1), 1
    with torch.autocast("cpu", enabled=False):
        scores = torch.baddbmm(
            bias,
            query.flatten(0, 1).to(wide),
            key.flatten(0, 1).transpose(1, 2).to(wide),
            beta=beta,
            alpha=query.shape[-1] ** -0.5,
        )
        weights = dropout(scores.softmax(-1).to(value.dtype), dropout_prob, training=True)
        return (weights @ value.flatten(0, 1)).view(query.shape)
