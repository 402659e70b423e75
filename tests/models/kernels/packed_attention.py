"""Exact attention over packed sequences, one after the other, and random input for it."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from clozekit.data.packing import Packing

HEADS = 3
LENGTHS = (7, 64, 1, 33, 130)


def random_qkv(packing: Packing, head_dim: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Draws `[tokens, 3, heads, head_dim]`, the same on all devices."""
    generator = torch.Generator().manual_seed(head_dim)
    shape = (packing.num_tokens, 3, HEADS, head_dim)
    drawn = torch.randn(shape, generator=generator).to(dtype)
    return drawn.to(device).requires_grad_()


def packing_of(lengths: Sequence[int], device: torch.device) -> Packing:
    """Packs sequences; those of length 0 are at the end, as after padding to a fixed number."""
    own = [length for length in lengths if length]
    packing = Packing.from_lengths(np.array(own))
    empty = packing.cu_seqlens[-1:].repeat(len(lengths) - len(own))
    return replace(packing, cu_seqlens=torch.cat([packing.cu_seqlens, empty])).to(device)


def exact(
    qkv: Tensor,
    packing: Packing,
    factors: Sequence[Tensor] | None = None,
    half_window: int | None = None,
) -> Tensor:
    """Computes attention in float64 on the CPU, from the values of `qkv`.

    Args:
        qkv: `[tokens, 3, heads, head_dim]`.
        packing: The layout.
        factors: `[heads, length, length]` for each sequence: the factors of dropout.
        half_window: How many tokens a token sees on each side; None for all.

    Returns:
        `[tokens, heads, head_dim]`.
    """
    contexts = []
    wide = qkv.cpu().double()
    for number, (begin, end) in enumerate(pairwise(packing.cu_seqlens.tolist())):
        query, key, value = wide[begin:end].unbind(1)
        scores = torch.einsum("qhd,khd->hqk", query, key) * query.shape[-1] ** -0.5
        if half_window is not None:
            places = torch.arange(end - begin)
            is_far = (places[:, None] - places).abs() > half_window
            scores = scores.masked_fill(is_far, float("-inf"))
        weights = scores.softmax(-1)
        if factors is not None:
            weights = weights * factors[number]
        contexts.append(torch.einsum("hqk,khd->qhd", weights, value))
    return torch.cat(contexts)


def gradient_of(context: Tensor, qkv: Tensor) -> Tensor:
    """Returns the gradient of a sum of the context with weights that differ."""
    weights = torch.arange(context.numel(), device=context.device).view(context.shape).cos()
    (gradient,) = torch.autograd.grad(context, qkv, weights.to(context.dtype))
    return gradient


def assert_near(ours: Tensor, exact: Tensor, steps: float) -> None:
    """Asserts that the largest error is a few rounding steps of the largest value.

    Half precision rounds the weights, the output and, in backward, the gradient of the scores once
    each, by half a step of the value at most. Errors of this size add up over a few products.
    """
    assert ours.isfinite().all()
    exact = exact.detach()
    largest = float(exact.abs().max())
    error = float((ours.detach().cpu().double() - exact).abs().max())
    assert error <= steps * torch.finfo(ours.dtype).eps * largest, (error, largest)
