"""Self-attention over packed tokens."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from clozekit.config.encoder import EncoderConfig
from clozekit.models.kernels import local_attention, padded_attention, varlen
from clozekit.models.kernels.grouping import Group
from clozekit.models.kernels.linear import Linear
from clozekit.models.layout import Layout, rotate


class SelfAttention(nn.Module):
    """Multi-head self-attention within each sequence.

    Vaswani et al. (2017), section 3.2.2. Query, key and value come from one matrix product. Input
    and output are packed.

    Args:
        config: The encoder's configuration.
        layer: The number of the layer, from 0.
    """

    def __init__(self, config: EncoderConfig, layer: int) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.dropout_prob = config.attention_probs_dropout_prob
        is_local = config.has_local_attention(layer)
        self._attend = attend_locally if is_local else attend_globally
        self._rotate = (
            _keep
            if config.position_embedding_type == "absolute"
            else (_rotate_locally if is_local else _rotate_globally)
        )
        bias = config.attention_bias
        self.qkv = Linear(config.hidden_size, 3 * config.hidden_size, bias=bias)
        self.qkv.num_matrices = 3
        self.output = Linear(config.hidden_size, config.hidden_size, bias=bias)

    def forward(self, hidden_states: Tensor, layout: Layout) -> Tensor:
        """Computes attention within each sequence.

        Args:
            hidden_states: `[tokens, hidden]`.
            layout: The layout of the sequences.

        Returns:
            `[tokens, hidden]`.
        """
        # [tokens, 3 * hidden] to [tokens, 3, heads, head_dim].
        qkv = self.qkv(hidden_states).unflatten(-1, (3, self.num_heads, -1))
        dropout_prob = self.dropout_prob if self.training else 0.0
        context = self._attend(self._rotate(qkv, layout), layout, dropout_prob)
        output: Tensor = self.output(context.flatten(1))
        return output


def attend_globally(qkv: Tensor, layout: Layout, dropout_prob: float) -> Tensor:
    """Computes attention to all tokens of the same sequence.

    On a GPU it is packed, if `kernels.varlen` can be used. Otherwise it has the padded form, in
    groups of sequences of similar length.

    Args:
        qkv: `[tokens, 3, heads, head_dim]`.
        layout: The layout of the sequences.
        dropout_prob: The probability that a weight is dropped.

    Returns:
        `[tokens, heads, head_dim]`.
    """
    grouping = layout.grouping
    if varlen.can_attend(qkv):
        return varlen.attend(qkv, grouping.packing, dropout_prob)
    if len(grouping.groups) == 1:
        return _attend(qkv, grouping.groups[0], dropout_prob)
    of_groups = torch.split(qkv, [group.packing.num_tokens for group in grouping.groups])
    return torch.cat(
        [
            _attend(of_group, group, dropout_prob)
            for of_group, group in zip(of_groups, grouping.groups, strict=True)
        ]
    )


def attend_locally(qkv: Tensor, layout: Layout, dropout_prob: float) -> Tensor:
    """Computes attention to the tokens of the same sequence within the window of each token.

    Arguments and result as in `attend_globally`.
    """
    if layout.half_window is None:
        return attend_globally(qkv, layout, dropout_prob)
    if layout.blocks is None:
        return varlen.attend(qkv, layout.grouping.packing, dropout_prob, layout.half_window)
    return local_attention.attend(qkv, layout.blocks, dropout_prob)


def _keep(qkv: Tensor, layout: Layout) -> Tensor:
    return qkv


def _rotate_globally(qkv: Tensor, layout: Layout) -> Tensor:
    assert layout.global_rotation is not None
    return rotate(qkv, layout.global_rotation)


def _rotate_locally(qkv: Tensor, layout: Layout) -> Tensor:
    assert layout.local_rotation is not None
    return rotate(qkv, layout.local_rotation)


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
