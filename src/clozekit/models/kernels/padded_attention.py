"""Attention with dropout on the CPU, in the padded form.

torch's fused kernel for the CPU has no dropout: with dropout, torch computes attention in separate
steps, and keeps for backward what each step needs. Here backward is written by hand. It needs the
query, key and value, the softmax, and one byte per weight for the dropout.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from clozekit.data.packing import Packing
from clozekit.models.kernels.dropout import apply_kept, draw_kept
from clozekit.models.kernels.grouping import Group
from clozekit.models.precision import at_least_float32


def attend(qkv: Tensor, group: Group, dropout_prob: float) -> Tensor:
    """Computes attention within each sequence, with dropout of the weights.

    As in torch's own kernels, scores and their softmax have float32 at least.

    Args:
        qkv: `[tokens, 3, heads, head_dim]`.
        group: The layout of the sequences.
        dropout_prob: The probability that a weight is dropped.

    Returns:
        `[tokens, heads, head_dim]`.
    """
    with torch.autocast("cpu", enabled=False):
        context: Tensor = _Attention.apply(  # type: ignore[no-untyped-call]
            qkv, group, dropout_prob
        )
    return context


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, group: Group, dropout_prob: float) -> Tensor:
        padded = _by_head(qkv, group.packing)
        query, key, value = padded
        weights = _scores(query, key, group).softmax(-1)
        kept, scale = draw_kept(weights.shape, dropout_prob)
        context = _product(apply_kept(weights, kept).to(value.dtype), value, scale)
        ctx.save_for_backward(padded, weights, kept)
        ctx.packing, ctx.scale = group.packing, scale
        return _by_token(context[None], group.packing).squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_output: Tensor) -> tuple[Tensor | None, ...]:
        padded, weights, kept = ctx.saved_tensors
        query, key, value = padded
        (of_context,) = _by_head(of_output[:, None], ctx.packing)
        dropped = apply_kept(weights, kept).to(value.dtype)
        of_value = _product(dropped.transpose(1, 2), of_context, ctx.scale)
        of_dropped = _product(of_context, value.transpose(1, 2), ctx.scale)
        of_scores = torch.ops.aten._softmax_backward_data(
            apply_kept(of_dropped.to(weights.dtype), kept), weights, -1, weights.dtype
        )
        of_query = _product(of_scores, key.to(weights.dtype), _scale_of(query))
        of_key = _product(of_scores.transpose(1, 2), query.to(weights.dtype), _scale_of(query))
        of_padded = torch.stack([of_query.to(query.dtype), of_key.to(key.dtype), of_value])
        return _by_token(of_padded, ctx.packing), None, None


def _scores(query: Tensor, key: Tensor, group: Group) -> Tensor:
    """Maps two `[batch * heads, seq_len, head_dim]` to `[batch * heads, seq_len, seq_len]`."""
    wide = at_least_float32(query.dtype)
    query, key, scale = query.to(wide), key.to(wide), _scale_of(query)
    if group.key_mask is None:
        return _product(query, key.transpose(1, 2), scale)
    # [batch, 1, seq_len], then one row for each head.
    masked = torch.zeros_like(group.key_mask[:, 0], dtype=wide)
    masked.masked_fill_(~group.key_mask[:, 0], float("-inf"))
    bias = masked.repeat_interleave(len(query) // len(masked), dim=0)
    return torch.baddbmm(bias, query, key.transpose(1, 2), alpha=scale)


def _scale_of(query: Tensor) -> float:
    scale: float = query.shape[-1] ** -0.5
    return scale


def _product(left: Tensor, right: Tensor, scale: float) -> Tensor:
    """Multiplies two batches of matrices, and scales the result."""
    return torch.baddbmm(left.new_empty(1, 1, 1), left, right, beta=0, alpha=scale)


def _by_head(packed: Tensor, packing: Packing) -> Tensor:
    """Maps `[tokens, n, heads, head_dim]` to `[n, batch * heads, seq_len, head_dim]`."""
    return packing.pad(packed).permute(2, 0, 3, 1, 4).flatten(1, 2).contiguous()


def _by_token(by_head: Tensor, packing: Packing) -> Tensor:
    """Maps `[n, batch * heads, seq_len, head_dim]` to `[tokens, n, heads, head_dim]`."""
    number, _, seq_len, head_dim = by_head.shape
    by_sequence = by_head.view(number, packing.batch_size, -1, seq_len, head_dim)
    return packing.unpad(by_sequence.permute(1, 3, 0, 2, 4))
