"""Dropout with cheap random bits on the CPU, which keeps one byte per value for backward."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

_LEVELS = 1 << 16


class Dropout(nn.Module):
    """Dropout (Srivastava et al., 2014) as a layer; see `dropout`."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        """Applies dropout in training mode; any shape."""
        return dropout(values, self.p, self.training)


def dropout(values: Tensor, p: float, training: bool) -> Tensor:
    """Sets each value to zero with probability `p` and scales the others to keep the mean.

    On the CPU, `draw_kept` draws the bits, and backward needs one byte per value.

    Args:
        values: Any shape.
        p: The probability, in [0, 1).
        training: Whether to drop; if not, or if `p` is 0, the values are returned unchanged.

    Returns:
        The shape and dtype of `values`.
    """
    if not training or p == 0:
        return values
    if values.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(values, p)
    kept, scale = draw_kept(values.shape, p)
    dropped: Tensor = _Dropout.apply(values, kept, scale)  # type: ignore[no-untyped-call]
    return dropped


def draw_kept(shape: torch.Size, p: float) -> tuple[Tensor, float]:
    """Draws which values are kept, on the CPU.

    torch draws two random words for each value, one after the other. On a small encoder that costs
    as much as a block's matrix products. Here four values share one 64-bit word: `p` is rounded to
    a multiple of 2**-16, and the scale is computed from the rounded value.

    Args:
        shape: The shape of the values.
        p: The probability that a value is dropped, in [0, 1).

    Returns:
        Which values are kept, bool; and the factor for them that keeps the mean.
    """
    num_dropped = min(round(p * _LEVELS), _LEVELS - 1)
    words = torch.empty(-(-shape.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    levels = words.view(torch.int16)[: shape.numel()].view(shape)
    return levels >= num_dropped - _LEVELS // 2, _LEVELS / (_LEVELS - num_dropped)


def apply_kept(values: Tensor, kept: Tensor) -> Tensor:
    """Sets the values that are not kept to zero; all tensors have the same shape."""
    # As bytes, because torch is slower at multiplying by bool.
    return values * kept.view(torch.uint8)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, kept: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(kept)
        ctx.scale = scale
        return apply_kept(values, kept).mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        return apply_kept(gradient, kept).mul_(ctx.scale), None, None
