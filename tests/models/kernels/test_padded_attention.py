"""Attention with dropout on the CPU: the drops aside, it is torch's own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from clozekit.data.packing import Packing
from clozekit.models.kernels import padded_attention
from clozekit.models.kernels.dropout import draw_kept
from clozekit.models.kernels.grouping import Group
from clozekit.models.kernels.padded_attention import attend
from tests.models.saved import saved_tensors

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=5)
HEADS, HEAD_DIM = 3, 4


def inputs(lengths: list[int], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Group]:
    packing = Packing.from_lengths(np.array(lengths))
    qkv = torch.randn(packing.num_tokens, 3, HEADS, HEAD_DIM, dtype=dtype, requires_grad=True)
    return qkv, Group.of(packing)


def plain(qkv: Tensor, group: Group, factors: Tensor | None = None) -> Tensor:
    """Single steps; `factors`, `[batch * heads, seq_len, seq_len]`, are what dropout multiplies."""
    query, key, value = group.packing.pad(qkv).transpose(1, 3).unbind(2)
    scores = query @ key.transpose(-1, -2) * HEAD_DIM**-0.5
    if group.key_mask is not None:
        scores = scores.masked_fill(~group.key_mask, float("-inf"))
    weights = scores.softmax(-1)
    if factors is not None:
        weights = weights * factors.view(weights.shape)
    return group.packing.unpad((weights @ value).transpose(1, 2))


def gradient(context: Tensor, qkv: Tensor) -> Tensor:
    (of_qkv,) = torch.autograd.grad(context.sin().sum(), qkv)
    return of_qkv


@settings(deadline=None, max_examples=40)
@given(LENGTHS)
def test_where_none_are_dropped_it_is_torchs(lengths: list[int]) -> None:
    qkv, group = inputs(lengths)
    query, key, value = group.packing.pad(qkv).transpose(1, 3).unbind(2)
    padded = F.scaled_dot_product_attention(query, key, value, attn_mask=group.key_mask)
    expected = group.packing.unpad(padded.transpose(1, 2))
    ours = attend(qkv, group, 1e-9)  # rounded to zero
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(gradient(ours, qkv), gradient(expected, qkv))


@settings(deadline=None, max_examples=40)
@given(LENGTHS, st.sampled_from([0.1, 0.5, 0.9]))
def test_with_the_same_drops_it_is_the_single_steps(lengths: list[int], p: float) -> None:
    qkv, group = inputs(lengths)
    drawn: list[Tensor] = []

    def noted(shape: torch.Size, p: float) -> tuple[Tensor, float]:
        kept, scale = draw_kept(shape, p)
        drawn.append(kept.double() * scale)
        return kept, scale

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(padded_attention, "draw_kept", noted)
        ours = attend(qkv, group, p)
    expected = plain(qkv, group, *drawn)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(gradient(ours, qkv), gradient(expected, qkv))


@pytest.mark.parametrize("lengths", [[5, 5], [5, 3]])
def test_the_mean_over_drops_is_attention_without(lengths: list[int]) -> None:
    torch.manual_seed(0)
    qkv, _ = inputs(lengths)
    times = 10_000
    of_all = Group.of(Packing.from_lengths(np.array(lengths * times)))
    dropped = attend(qkv.detach().repeat(times, 1, 1, 1), of_all, 0.5)
    mean = dropped.view(times, *qkv[:, 0].shape).mean(0)
    expected = plain(qkv, Group.of(Packing.from_lengths(np.array(lengths))))
    torch.testing.assert_close(mean, expected, rtol=0, atol=0.05)


def test_scores_are_of_full_precision_in_half_precision() -> None:
    """Rounded to bfloat16 a score of 50 is off by up to an eighth, and so is its exponential."""
    torch.manual_seed(0)
    packing = Packing.from_lengths(np.array([32, 32]))
    group = Group.of(packing)
    qkv = (6 * torch.randn(64, 3, 4, 16)).bfloat16().requires_grad_()
    query, key, value = packing.pad(qkv.float()).transpose(1, 3).unbind(2)
    exact = packing.unpad(F.scaled_dot_product_attention(query, key, value).transpose(1, 2))
    with torch.autocast("cpu", torch.bfloat16):
        attended = attend(qkv, group, 1e-9)
    assert attended.dtype == torch.bfloat16
    rounding = (exact.bfloat16() - exact).abs().max()
    assert (attended - exact).abs().max() < 4 * rounding
    ours, theirs = gradient(attended.float(), qkv), gradient(exact, qkv)
    assert ours.dtype == torch.bfloat16
    assert (ours - theirs).abs().max() < 0.03 * theirs.abs().max()


def test_of_the_weights_one_copy_and_a_byte_each_are_kept_for_backward() -> None:
    qkv, group = inputs([6, 6], torch.float32)
    saved = saved_tensors(lambda: attend(qkv, group, 0.5))
    assert [(x.dtype, tuple(x.shape)) for x in saved] == [
        (torch.float32, (3, 2 * HEADS, 6, HEAD_DIM)),
        (torch.float32, (2 * HEADS, 6, 6)),
        (torch.bool, (2 * HEADS, 6, 6)),
    ]
