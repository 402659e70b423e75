"""The encoder with the parts of ModernBERT, against transformers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clozekit.config.encoder import EncoderConfig
from clozekit.data.packing import Packing
from clozekit.models import Encoder
from clozekit.models.kernels import local_attention
from clozekit.models.kernels.local_attention import Blocks

SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "intermediate_size": 56,
    "max_position_embeddings": 300,
}
MODERN: dict[str, Any] = {
    "type_vocab_size": 0,
    "norm_position": "pre",
    "position_embedding_type": "rotary",
    "gated_feed_forward": True,
    "attention_bias": False,
    "mlp_bias": False,
    "norm_bias": False,
    "layer_norm_eps": 1e-5,
    "initializer_range": 0.3,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "global_attn_every_n_layers": 3,
}
NAMES = {
    "embeddings.token_embeddings": "embeddings.tok_embeddings",
    "embeddings.layer_norm": "embeddings.norm",
    "blocks.": "layers.",
    "attention.qkv": "attn.Wqkv",
    "attention.output": "attn.Wo",
    "attention_norm": "attn_norm",
    "feed_forward_norm": "mlp_norm",
    "feed_forward.intermediate": "mlp.Wi",
    "feed_forward.output": "mlp.Wo",
}


def modern_encoder(window: int, **changes: Any) -> Encoder:
    torch.manual_seed(0)
    values = {**SIZES, **MODERN, "local_attention": window, **changes}
    return Encoder(EncoderConfig(**values), add_pooling_layer=False)


def of_transformers(encoder: Encoder) -> Any:
    """transformers' ModernBERT with the same weights."""
    from transformers import ModernBertConfig, ModernBertModel

    config = ModernBertConfig(
        **SIZES,
        local_attention=encoder.config.local_attention,
        global_attn_every_n_layers=3,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        cls_token_id=1,
        sep_token_id=2,
    )
    model = ModernBertModel(config)
    weights = {}
    for name, tensor in encoder.state_dict().items():
        for ours, theirs in NAMES.items():
            name = name.replace(ours, theirs)
        weights[name] = tensor
    model.load_state_dict(weights)
    return model


def assert_close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    error = (found - expected).abs().max() / expected.abs().max().clamp(min=1e-3)
    assert float(error.detach()) < tolerance


# Windows of 8 to 400 tokens, and texts of 1 to 300.
@pytest.mark.parametrize("window", [8, 32, 128, 400])
def test_outputs_and_gradients_are_those_of_transformers(window: int) -> None:
    encoder = modern_encoder(window)
    theirs = of_transformers(encoder)
    lengths = [300, 1, 65, 130, 7]
    generator = torch.Generator().manual_seed(window)
    ids = torch.randint(3, 97, (len(lengths), 300), generator=generator)
    mask = torch.arange(300) < torch.tensor(lengths)[:, None]
    wanted = torch.randn(*ids.shape, 48, generator=generator) * mask[..., None]

    expected = theirs(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    (expected * wanted).sum().backward()
    padded = encoder(ids, attention_mask=mask).sequence_output
    assert_close(padded, expected * mask[..., None])
    packing = Packing.from_lengths(np.array(lengths))
    packed = encoder(ids[mask], packing=packing).sequence_output
    assert_close(packed, expected[mask])
    (packed * wanted[mask]).sum().backward()
    of_theirs = dict(theirs.named_parameters())
    for name, parameter in encoder.named_parameters():
        for ours, other in NAMES.items():
            name = name.replace(ours, other)
        assert parameter.grad is not None
        assert_close(parameter.grad, of_theirs[name].grad, 1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"norm_position": "post"},
        {"position_embedding_type": "absolute", "type_vocab_size": 2},
        {"gated_feed_forward": False},
        {"attention_bias": True, "mlp_bias": True, "norm_bias": True},
        {"local_attention": None, "global_attn_every_n_layers": 1},
    ],
)
def test_each_part_can_be_chosen_alone(changes: dict[str, Any]) -> None:
    encoder = modern_encoder(16, **changes)
    packing = Packing.from_lengths(np.array([40, 3, 90]))
    ids = torch.randint(3, 97, (133,))
    packed = encoder(ids, packing=packing).sequence_output
    packed.square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    # One sequence alone, and recomputed activations, give the same.
    alone = encoder(ids[None, :40]).sequence_output[0]
    assert_close(alone, packed[:40], 1e-4)
    encoder.activation_checkpointing = True
    again = encoder(ids, packing=packing).sequence_output
    assert torch.equal(again, packed)


@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=2, max_size=6),
    window=st.sampled_from([2, 6, 16, 64]),
    data=st.data(),
)
def test_nothing_leaks_between_packed_sequences(
    lengths: list[int], window: int, data: st.DataObject
) -> None:
    encoder = modern_encoder(window)
    packing = Packing.from_lengths(np.array(lengths))
    ids = torch.randint(3, 97, (sum(lengths),))
    changed = data.draw(st.integers(0, len(lengths) - 1))
    first, last = packing.cu_seqlens[changed : changed + 2].tolist()
    others = ids.clone()
    others[first:last] = torch.randint(3, 97, (last - first,))
    with torch.no_grad():
        before = encoder(ids, packing=packing).sequence_output
        after = encoder(others, packing=packing).sequence_output
    outside = torch.ones(len(ids), dtype=torch.bool)
    outside[first:last] = False
    assert torch.equal(before[outside], after[outside])


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 90), min_size=1, max_size=5),
    half_window=st.sampled_from([1, 3, 8, 40]),
    seed=st.integers(0, 99),
)
def test_local_attention_is_attention_with_a_band(
    lengths: list[int], half_window: int, seed: int
) -> None:
    packing = Packing.from_lengths(np.array(lengths))
    generator = torch.Generator().manual_seed(seed)
    shape = (sum(lengths), 3, 2, 8)
    qkv = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(shape[0], 2, 8, generator=generator, dtype=torch.float64)
    found = local_attention.attend(qkv, Blocks.of(packing, half_window), 0.0)
    sequence = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    positions = packing.position_ids
    band = (sequence[:, None] == sequence) & ((positions[:, None] - positions).abs() <= half_window)
    query, key, value = qkv.transpose(0, 2).unbind(1)
    scores = (query @ key.transpose(1, 2) * 8**-0.5).masked_fill(~band, float("-inf"))
    expected = (scores.softmax(-1) @ value).transpose(0, 1)
    torch.testing.assert_close(found, expected)
    (of_found,) = torch.autograd.grad((found * weights).sum(), qkv)
    (of_expected,) = torch.autograd.grad((expected * weights).sum(), qkv)
    torch.testing.assert_close(of_found, of_expected)


def test_dropout_keeps_the_mean_of_local_attention() -> None:
    packing = Packing.from_lengths(np.array([200]))
    qkv = torch.randn(200, 3, 2, 8)
    blocks = Blocks.of(packing, 16)
    plain = local_attention.attend(qkv, blocks, 0.0)
    drawn = torch.stack([local_attention.attend(qkv, blocks, 0.3) for _ in range(400)])
    assert (drawn.mean(0) - plain).abs().mean() < 0.03
    assert not torch.equal(drawn[0], drawn[1])


def test_positions_need_not_begin_at_0() -> None:
    """Rotary attention depends on distances alone."""
    encoder = modern_encoder(16)
    packing = Packing.from_lengths(np.array([50, 20]))
    ids = torch.randint(3, 97, (70,))
    moved = replace(packing, position_ids=packing.position_ids + 7)
    with torch.no_grad():
        here, there = (encoder(ids, packing=p).sequence_output for p in (packing, moved))
    assert_close(here, there, 1e-4)
