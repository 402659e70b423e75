import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from clozekit.data.packing import Packing

Lengths = NDArray[np.int64]
# A busy machine is no failure.
without_deadline = settings(deadline=None)
lengths_of_batches = st.lists(st.integers(1, 9), min_size=1, max_size=6).map(np.array)


@st.composite
def masks(draw: st.DrawFn) -> Tensor:
    """Padded batches' masks: real tokens anywhere in a row, at least one in each."""
    seq_len = draw(st.integers(1, 7))
    row = st.lists(st.booleans(), min_size=seq_len, max_size=seq_len).filter(any)
    return torch.tensor(draw(st.lists(row, min_size=1, max_size=5)))


@without_deadline
@given(lengths_of_batches)
def test_from_lengths(lengths: Lengths) -> None:
    packing = Packing.from_lengths(lengths)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    positions = np.concatenate([np.arange(length) for length in lengths])

    assert packing.batch_size == len(lengths)
    assert packing.num_tokens == lengths.sum()
    assert packing.max_seqlen == lengths.max()
    assert packing.is_full == (len(set(lengths)) == 1)
    assert packing.cu_seqlens.dtype == torch.int32
    assert packing.cu_seqlens.diff().tolist() == lengths.tolist()
    assert packing.first_tokens.tolist() == [0, *np.cumsum(lengths)[:-1]]
    assert packing.position_ids.tolist() == positions.tolist()
    assert packing.indices.tolist() == (rows * lengths.max() + positions).tolist()
    expected_mask = np.arange(lengths.max()) < lengths[:, None]
    assert packing.attention_mask.tolist() == expected_mask.tolist()


@without_deadline
@given(lengths_of_batches)
def test_a_mask_gives_the_layout_of_its_lengths(lengths: Lengths) -> None:
    packing = Packing.from_lengths(lengths)
    again = Packing.from_attention_mask(packing.attention_mask.long())
    assert again.max_seqlen == packing.max_seqlen
    for name in ("cu_seqlens", "position_ids", "indices"):
        expected, actual = getattr(packing, name), getattr(again, name)
        assert actual.dtype == expected.dtype
        assert torch.equal(actual, expected)


@without_deadline
@given(masks())
def test_any_mask_comes_back(mask: Tensor) -> None:
    packing = Packing.from_attention_mask(mask)
    assert torch.equal(packing.attention_mask, mask)
    assert packing.cu_seqlens.diff().tolist() == mask.sum(1).tolist()
    assert packing.is_full == bool(mask.all())
    values = torch.arange(mask.numel()).view_as(mask) + 1
    assert torch.equal(packing.unpad(values), values[mask])
    assert torch.equal(packing.pad(packing.unpad(values)), values * mask)
    columns = torch.arange(mask.shape[1]).expand_as(mask)
    assert torch.equal(packing.position_ids, columns[mask])


@without_deadline
@given(lengths_of_batches, st.lists(st.integers(1, 3), max_size=3))
def test_pad_and_unpad_undo_each_other(lengths: Lengths, rest: list[int]) -> None:
    packing = Packing.from_lengths(lengths)
    packed = torch.randn(packing.num_tokens, *rest)
    padded = packing.pad(packed)
    assert padded.shape == (len(lengths), lengths.max(), *rest)
    assert torch.equal(packing.unpad(padded), packed)
    for row, sequence in zip(padded, packed.split(lengths.tolist()), strict=True):
        assert torch.equal(row[: len(sequence)], sequence)
        assert not row[len(sequence) :].any()


@without_deadline
@given(lengths_of_batches)
def test_gradients_pass_through_pad_and_unpad(lengths: Lengths) -> None:
    packing = Packing.from_lengths(lengths)
    packed = torch.randn(packing.num_tokens, 2, requires_grad=True)
    weights = torch.randn(packing.num_tokens, 2)
    (packing.unpad(packing.pad(packed)) * weights).sum().backward()
    assert packed.grad is not None
    assert torch.equal(packed.grad, weights)


@without_deadline
@given(lengths_of_batches)
def test_to_moves_every_tensor_and_keeps_the_rest(lengths: Lengths) -> None:
    packing = Packing.from_lengths(lengths)
    moved = packing.to("meta")
    assert isinstance(moved, Packing)
    for name in ("cu_seqlens", "position_ids", "indices"):
        assert getattr(moved, name).device.type == "meta"
        assert getattr(packing, name).device.type == "cpu"
    assert moved.max_seqlen == packing.max_seqlen
    assert moved.is_full == packing.is_full
    assert moved.attention_mask.shape == packing.attention_mask.shape


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs a CUDA device")
def test_pin_memory() -> None:
    pinned = Packing.from_lengths(np.array([2, 3])).pin_memory()
    assert pinned.cu_seqlens.is_pinned()
    assert pinned.indices.is_pinned()


def test_lengths_stay_on_the_host() -> None:
    lengths = np.array([3, 1, 4])
    moved = Packing.from_lengths(lengths).to("meta")
    assert moved.lengths is not None and moved.lengths.tolist() == [3, 1, 4]
    assert moved.cu_seqlens.device.type == "meta"
