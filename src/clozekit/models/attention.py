"""Self-attention over packed tokens."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from clozekit.config.encoder import EncoderConfig
from clozekit.models.kernels import padded_attention, varlen
from clozekit.models.kernels.grouping import Group, Grouping
from clozekit.models.kernels.linear import Linear


class SelfAttention(nn.Module):
    """Multi-head self-attention within each sequence.

    Vaswani et al. (2017), section 3.2.2. Query, key and value come from one matrix product. Input
    and output are packed. On a GPU the attention itself is, too, if `kernels.varlen` can be used.
    Otherwise it has the padded form, in groups of sequences of similar length.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.dropout_prob = config.attention_probs_dropout_prob
        self.qkv = Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: Tensor, grouping: Grouping) -> Tensor:
        """Computes attention within each sequence.

        Args:
            hidden_states: `[tokens, hidden]`.
            grouping: The layout of the sequences, and which of them are padded together.

        Returns:
            `[tokens, hidden]`.
        """
        # [tokens, 3 * hidden] to [tokens, 3, heads, head_dim].
        qkv = self.qkv(hidden_states).unflatten(-1, (3, self.num_heads, -1))
        dropout_prob = self.dropout_prob if self.training else 0.0
        if varlen.can_attend(qkv):
            context = varlen.attend(qkv, grouping.packing, dropout_prob)
        elif len(grouping.groups) == 1:
            context = _attend(qkv, grouping.groups[0], dropout_prob)
        else:
            of_groups = qkv.split([group.packing.num_tokens for group in grouping.groups])
            context = torch.cat(
                [
                    _attend(of_group, group, dropout_prob)
                    for of_group, group in zip(of_groups, grouping.groups, strict=True)
                ]
            )
        output: Tensor = self.output(context.flatten(1))
        return output


def reason_for_padding(
    config: EncoderConfig, device: torch.device, dtype: torch.dtype
) -> str | None:
    """Decides whether attention needs the padded form.

    Args:
        config: The encoder's configuration.
        device: The device of the encoder.
        dtype: The dtype of the linear layers' output.

    Returns:
        Why it does; None if FlashAttention can be used, which does not.
    """
    return varlen.reason_against(device, dtype, config.hidden_size // config.num_attention_heads)


def _attend(qkv: Tensor, group: Group, dropout_prob: float) -> Tensor:
    """Maps `[tokens, 3, heads, head_dim]` to `[tokens, heads, head_dim]` in the padded form."""
    if dropout_prob and qkv.device.type == "cpu" and not torch.compiler.is_compiling():
        return padded_attention.attend(qkv, group, dropout_prob)
    # [batch, seq_len, 3, heads, head_dim]; a copy only if there is padding.
    query, key, value = group.packing.pad(qkv).transpose(1, 3).unbind(2)
    context = F.scaled_dot_product_attention(
        query, key, value, attn_mask=group.key_mask, dropout_p=dropout_prob
    )
    # [batch, heads, seq_len, head_dim] to [tokens, heads, head_dim].
    return group.packing.unpad(context.transpose(1, 2))
