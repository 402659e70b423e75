"""Padded to a few shapes, a compiled encoder gives what it gives without."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from clozekit.data.packing import Packing
from clozekit.models import Encoder, EncoderWithHeads
from clozekit.models.kernels import varlen
from clozekit.models.static_shapes import MULTIPLE_OF_SEQUENCES, StaticEncoder, StaticShapes
from tests.models.batches import tiny_config, without_dropout

LONGEST = 100


def packing_of(*lengths: int) -> Packing:
    return Packing.from_lengths(np.array(lengths))


@given(st.lists(st.integers(1, LONGEST), min_size=1, max_size=20), st.sampled_from([1, 7, 64, 500]))
def test_padding_is_in_sequences_of_its_own_at_the_end(lengths: list[int], tokens: int) -> None:
    packing = packing_of(*lengths)
    padded = StaticShapes(tokens, LONGEST).padded(packing)
    number, batch_size = packing.num_tokens, packing.batch_size
    assert number < padded.num_tokens <= number + tokens
    assert padded.num_tokens % tokens == 0 and padded.batch_size % MULTIPLE_OF_SEQUENCES == 0
    assert max(lengths) <= padded.max_seqlen <= LONGEST
    assert padded.max_seqlen in (64, LONGEST)

    all_lengths = padded.cu_seqlens.diff()
    assert all_lengths.min() >= 0 and all_lengths.max() <= padded.max_seqlen
    assert all_lengths[-1] > 0, "every sequence has a first token, the empty ones too"
    assert all_lengths[:batch_size].tolist() == lengths
    assert padded.cu_seqlens[-1] == padded.num_tokens
    for name in ("cu_seqlens", "position_ids", "indices"):
        assert getattr(padded, name).dtype == getattr(packing, name).dtype, name

    # Everything follows from the lengths, as in a packing without padding.
    expected_mask = torch.arange(padded.max_seqlen) < all_lengths[:, None]
    assert torch.equal(padded.attention_mask, expected_mask)
    assert torch.equal(padded.indices % padded.max_seqlen, padded.position_ids)
    assert (padded.indices.diff() > 0).all()
    assert torch.equal(padded.position_ids[:number], packing.position_ids)


def test_batches_of_similar_sizes_have_one_shape() -> None:
    shapes = StaticShapes(256, LONGEST)
    draw = np.random.default_rng(0)
    seen = set()
    for number in (29, 30, 30, 30, 30):
        lengths = draw.integers(60, 66, number)
        padded = shapes.padded(packing_of(65, *lengths))
        seen.add((padded.num_tokens, padded.batch_size, padded.max_seqlen))
    assert len(seen) == 1


def test_padding_reads_nothing_from_the_device() -> None:
    padded = StaticShapes(64, LONGEST).padded(packing_of(3, 40, 7).to("meta"))
    assert padded.indices.device.type == "meta" and padded.num_tokens == 64


def outputs_and_gradients(
    model: EncoderWithHeads, lengths: tuple[int, ...], seed: int
) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    packing = packing_of(*lengths)
    ids = torch.randint(1, 50, (packing.num_tokens,), generator=generator)
    output = model(ids, ids % 2, packing)
    yield from output
    loss = output.sequence_output.sin().sum() + output.pooled_output.sin().sum()
    yield from torch.autograd.grad(loss, list(model.parameters()))


LENGTHS = ((7, 12, 1, 5), (16, 3, 9), (2, 2, 2, 2), (16, 16, 16), (14, 13, 4))


@contextmanager
def counting() -> Iterator[list[int]]:
    """Counts the graphs that are compiled."""
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters["stats"]
    before, number = counters["unique_graphs"], []
    yield number
    number.append(counters["unique_graphs"] - before)


def static_model(tokens: int, **changes: Any) -> tuple[EncoderWithHeads, EncoderWithHeads]:
    """A model that is compiled for static shapes, and the same without."""
    torch.manual_seed(0)
    encoder, plain = (Encoder(without_dropout(**changes)) for _ in range(2))
    plain.load_state_dict(encoder.state_dict())
    model = EncoderWithHeads(encoder)
    # As in conf/compile/static.yaml, but for a backend that is quick to compile.
    model.static_encoder = StaticEncoder(
        encoder, tokens, dynamic=False, fullgraph=True, backend="aot_eager"
    )
    return model.double(), EncoderWithHeads(plain).double()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_outputs_and_gradients_are_those_of_the_encoder(checkpointing: bool) -> None:
    model, plain = static_model(64)
    model.encoder.activation_checkpointing = checkpointing
    assert list(model.state_dict()) == list(plain.state_dict())
    with counting() as graphs:
        for seed, lengths in enumerate(LENGTHS):
            torch.testing.assert_close(
                list(outputs_and_gradients(model, lengths, seed)),
                list(outputs_and_gradients(plain, lengths, seed)),
            )
    assert graphs == [1]


def test_evaluation_is_not_padded_and_not_compiled() -> None:
    model, plain = static_model(64)
    with counting() as graphs:
        for ours, theirs in zip(
            outputs_and_gradients(model.eval(), LENGTHS[0], 0),
            outputs_and_gradients(plain.eval(), LENGTHS[0], 0),
            strict=True,
        ):
            assert torch.equal(ours, theirs)
    assert graphs == [0]


def test_more_shapes_than_torch_allows_by_default_are_compiled() -> None:
    model, plain = static_model(1, num_hidden_layers=1)
    lengths = [(16, number) for number in range(1, 10)]
    with counting() as graphs:
        for each in lengths:
            ids = torch.ones(sum(each), dtype=torch.int64)
            output = model(ids, None, packing_of(*each)).sequence_output
            expected = plain(ids, None, packing_of(*each)).sequence_output
            torch.testing.assert_close(output, expected)
    assert graphs == [len(lengths)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_on_a_gpu(mode: str) -> None:
    """Gradients are added up over micro-batches, as in a training step."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    config = tiny_config(
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, max_position_embeddings=64
    )
    encoder, plain = (Encoder(config).cuda() for _ in range(2))
    plain.load_state_dict(encoder.state_dict())
    model = EncoderWithHeads(encoder)
    model.static_encoder = StaticEncoder(encoder, 64, dynamic=False, fullgraph=True, mode=mode)
    for module in (model, plain):
        for parameter in module.parameters():
            parameter.grad = torch.zeros_like(parameter)
    for step in range(6):  # a CUDA graph is recorded in the second or third
        for seed, lengths in enumerate(LENGTHS):
            backward(model, lengths, step + seed)
            backward(EncoderWithHeads(plain), lengths, step + seed)
        for (name, ours), theirs in zip(
            encoder.named_parameters(), plain.parameters(), strict=True
        ):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-3, msg=name)


def backward(model: nn.Module, lengths: tuple[int, ...], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    packing = packing_of(*lengths).to("cuda")
    ids = torch.randint(1, 50, (packing.num_tokens,), generator=generator).cuda()
    output = model(ids, ids % 2, packing)
    weights = torch.randn(packing.num_tokens, 32, generator=generator).cuda()
    (output.sequence_output * weights).sum().backward()


def test_varlen_attention_has_sequences_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attention of a GPU takes empty sequences, each with its own bounds."""
    seen = []

    def attend(qkv: Tensor, packing: Packing, *_: object) -> Tensor:
        seen.append(packing.cu_seqlens.tolist())
        return qkv[:, 2]

    monkeypatch.setattr(varlen, "can_attend", lambda *_: True)
    monkeypatch.setattr(varlen, "attend", attend)
    encoder = Encoder(without_dropout())
    packing = StaticShapes(64, 16).padded(packing_of(7, 12))
    output = encoder(torch.ones(64, dtype=torch.int64), packing=packing)
    assert torch.isfinite(output.pooled_output).all()
    assert all(bounds == sorted(bounds) and bounds[-1] == 64 for bounds in seen)
