"""Attention over packed sequences against exact attention, one sequence after the other.

On the CPU the operator is a stand-in; see `flash_on_cpu`.
"""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from clozekit.data.packing import Packing
from clozekit.models.kernels import varlen
from tests.models.kernels.packed_attention import (
    HEADS,
    LENGTHS,
    assert_near,
    exact,
    gradient_of,
    packing_of,
    random_qkv,
)

HALVES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
CPU = torch.device("cpu")


@HALVES
@pytest.mark.parametrize("head_dim", [64, 16, 20, 13, 128])
def test_outputs_and_gradients_are_near_the_exact_ones(
    flash_device: torch.device, dtype: torch.dtype, head_dim: int
) -> None:
    packing = packing_of(LENGTHS, flash_device)
    qkv = random_qkv(packing, head_dim, dtype, flash_device)
    context = varlen.attend(qkv, packing, 0.0)
    assert context.shape == (packing.num_tokens, HEADS, head_dim) and context.dtype == dtype
    expected = exact(qkv, packing)
    assert_near(context, expected, steps=4)
    assert_near(gradient_of(context, qkv), gradient_of(expected, qkv).cpu().double(), steps=8)


@HALVES
@pytest.mark.parametrize("half_window", [1, 8, 40, 200])
def test_within_a_window_outputs_and_gradients_are_near_the_exact_ones(
    flash_device: torch.device, dtype: torch.dtype, half_window: int
) -> None:
    packing = packing_of(LENGTHS, flash_device)
    qkv = random_qkv(packing, 16, dtype, flash_device)
    context = varlen.attend(qkv, packing, 0.0, half_window)
    expected = exact(qkv, packing, half_window=half_window)
    assert_near(context, expected, steps=4)
    assert_near(gradient_of(context, qkv), gradient_of(expected, qkv).cpu().double(), steps=8)


@HALVES
def test_a_sequence_does_not_depend_on_the_others(
    flash_device: torch.device, dtype: torch.dtype, deterministic: None
) -> None:
    packing = packing_of(LENGTHS, flash_device)
    changed = slice(7, 7 + 64)
    for dropout_prob in (0.0, 0.1):
        results = []
        for factor in (1.0, 50.0):
            qkv = random_qkv(packing, 32, dtype, flash_device).detach()
            qkv[changed] *= factor
            qkv.requires_grad_()
            torch.manual_seed(1)
            context = varlen.attend(qkv, packing, dropout_prob)
            results.append((context.detach(), gradient_of(context, qkv)))
        for before, after in zip(*results, strict=True):
            assert not torch.equal(before[changed], after[changed])
            for others in (slice(changed.start), slice(changed.stop, None)):
                assert torch.equal(before[others], after[others])


@pytest.mark.parametrize("dropout_prob", [0.0, 0.1])
def test_padding_to_fixed_shapes_changes_nothing(
    flash_device: torch.device, dropout_prob: float, deterministic: None
) -> None:
    """A last sequence of padding tokens, empty sequences after it, and a longest of no sequence."""
    plain = packing_of(LENGTHS, flash_device)
    padded = replace(packing_of([*LENGTHS, 21, 0, 0, 0], flash_device), max_seqlen=160)
    qkv = random_qkv(padded, 32, torch.bfloat16, flash_device)
    real = slice(plain.num_tokens)
    own = qkv.detach()[real].requires_grad_()
    if dropout_prob:
        # The masks depend on the number of sequences, so only the shape of the result is known.
        context = varlen.attend(qkv, padded, dropout_prob)
        assert context.isfinite().all() and gradient_of(context, qkv).isfinite().all()
        return
    context, expected = varlen.attend(qkv, padded, 0.0), exact(own, plain)
    assert context.isfinite().all()
    assert_near(context[real], expected, steps=4)
    of_padded = gradient_of(context[real], qkv)
    assert_near(of_padded[real], gradient_of(expected, own).cpu().double(), steps=8)
    assert not of_padded[plain.num_tokens :].any()


def dropout_factors(
    packing: Packing, head_dim: int, dropout_prob: float, dtype: torch.dtype, device: torch.device
) -> list[Tensor]:
    """Reads the factors of dropout off the output, `[heads, length, length]` for each sequence.

    The weights are all the same, because the queries are 0, and the value of each token is a unit
    vector of its own: so the output has the dropped weights. No sequence is longer than `head_dim`.
    """
    qkv = torch.zeros(packing.num_tokens, 3, HEADS, head_dim, dtype=dtype, device=device)
    qkv[torch.arange(packing.num_tokens), 2, :, packing.position_ids.cpu()] = 1
    context = varlen.attend(qkv, packing, dropout_prob).cpu().double()
    factors = []
    for begin, end in pairwise(packing.cu_seqlens.tolist()):
        length = end - begin
        # [queries, heads, keys] to [heads, queries, keys].
        factors.append(context[begin:end, :, :length].transpose(0, 1) * length)
    return factors


@pytest.mark.parametrize("dropout_prob", [0.1, 0.5])
def test_dropout_has_the_right_share_and_scale(
    flash_device: torch.device, dropout_prob: float
) -> None:
    packing = packing_of([64] * 32, flash_device)
    torch.manual_seed(0)
    of_sequences = dropout_factors(packing, 64, dropout_prob, torch.float16, flash_device)
    factors = torch.stack(of_sequences)
    kept = factors != 0
    drawn = varlen.drawn_probability(dropout_prob)
    error = 5 * math.sqrt(drawn * (1 - drawn) / kept.numel())
    assert kept.double().mean().item() == pytest.approx(1 - drawn, abs=error)
    torch.testing.assert_close(
        factors[kept], torch.full_like(factors[kept], 1 / (1 - drawn)), rtol=2**-9, atol=0
    )
    # Sequences, heads, queries and keys have masks of their own.
    for dim in range(kept.ndim):
        both = (kept & kept.roll(1, dim)).double().mean().item()
        assert both == pytest.approx((1 - drawn) ** 2, abs=2 * error)


@pytest.mark.parametrize("dropout_prob", [0.0, 0.1, 0.25, 0.5, 0.9, 0.001, 0.9999])
def test_the_kernel_draws_the_probability_exactly(dropout_prob: float) -> None:
    drawn = varlen.drawn_probability(dropout_prob)
    assert 0 <= drawn < 1 and abs(drawn - dropout_prob) <= 1 / 256
    # What `flash_api.cpp` of torch computes from it.
    kept_bytes = math.floor((1 - drawn) * 255) + 1
    assert kept_bytes / 256 == 1 - drawn


@HALVES
@pytest.mark.parametrize("head_dim", [64, 20])
def test_with_dropout_both_directions_use_the_same_mask(
    flash_device: torch.device, dtype: torch.dtype, head_dim: int
) -> None:
    packing = packing_of([17, head_dim, 1, 20], flash_device)
    torch.manual_seed(3)
    factors = dropout_factors(packing, head_dim, 0.3, dtype, flash_device)
    drawn = varlen.drawn_probability(0.3)
    masks = [(factor != 0) / (1 - drawn) for factor in factors]
    assert any(mask.any() for mask in masks)
    qkv = random_qkv(packing, head_dim, dtype, flash_device)
    torch.manual_seed(3)
    context = varlen.attend(qkv, packing, 0.3)
    expected = exact(qkv, packing, masks)
    assert_near(context, expected, steps=4)
    assert_near(gradient_of(context, qkv), gradient_of(expected, qkv).cpu().double(), steps=8)


def test_a_seed_determines_dropout(flash_device: torch.device) -> None:
    packing = packing_of(LENGTHS, flash_device)
    qkv = random_qkv(packing, 32, torch.bfloat16, flash_device).detach()

    def drawn(seed: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(seed)
        return varlen.attend(qkv, packing, 0.1), varlen.attend(qkv, packing, 0.1)

    first, second = drawn(5)
    again, second_again = drawn(5)
    assert torch.equal(first, again) and torch.equal(second, second_again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, drawn(6)[0])


@pytest.mark.parametrize(("head_dim", "dropout_prob"), [(32, 0.0), (20, 0.1)])
def test_it_compiles_to_one_graph_for_all_lengths(
    flash_device: torch.device, head_dim: int, dropout_prob: float
) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    backend = "inductor" if flash_device.type == "cuda" else "aot_eager"
    compiled = torch.compile(varlen.attend, fullgraph=True, dynamic=True, backend=backend)
    for lengths in (LENGTHS, (5, 90), (2, 3, 4, 40)):
        packing = packing_of(lengths, flash_device)
        qkv = random_qkv(packing, head_dim, torch.bfloat16, flash_device)
        results = []
        for attend in (varlen.attend, compiled):
            torch.manual_seed(1)
            context = attend(qkv, packing, dropout_prob)
            results.append((context, gradient_of(context, qkv)))
        (plain, of_plain), (ours, of_ours) = results
        # The operator is the same; only the order of atomic sums in backward may differ.
        torch.testing.assert_close(ours, plain)
        assert_near(of_ours, of_plain.cpu().double(), steps=2)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2


@pytest.mark.parametrize("head_dim", [16, 20])
def test_torchs_own_shapes_of_the_operator_are_those_expected(head_dim: int) -> None:
    """With the meta device, torch checks the call and its gradient without a GPU."""
    packing = packing_of(LENGTHS, torch.device("meta"))
    qkv = torch.empty(
        packing.num_tokens, 3, HEADS, head_dim, dtype=torch.bfloat16, device="meta"
    ).requires_grad_()
    context = varlen.attend(qkv, packing, 0.1)
    assert context.shape == (packing.num_tokens, HEADS, head_dim)
    assert gradient_of(context, qkv).shape == qkv.shape


def test_it_is_not_used_on_the_cpu() -> None:
    assert not varlen.can_attend(torch.zeros(4, 3, 2, 8, dtype=torch.bfloat16))
    assert varlen.reason_against(CPU, torch.bfloat16, 8) == "the device is cpu"


@pytest.mark.parametrize(
    ("capability", "dtype", "head_dim", "expected"),
    [
        ((8, 0), torch.bfloat16, 64, None),
        ((9, 0), torch.float16, 13, None),
        ((8, 9), torch.float16, 192, None),
        ((8, 9), torch.float16, 193, "too little memory for heads wider than 192"),
        ((9, 0), torch.bfloat16, 256, None),
        ((12, 0), torch.bfloat16, 256, "a GPU of compute capability 12.0 has too little"),
        ((9, 0), torch.bfloat16, 257, "a head of width 257 is wider than 256"),
        ((7, 5), torch.float16, 64, "the GPU's compute capability 7.5 is older than 8.0"),
        ((9, 0), torch.float32, 64, "attention is computed in float32"),
        ((9, 0), torch.float64, 64, "attention is computed in float64"),
    ],
)
def test_the_reason_against_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    dtype: torch.dtype,
    head_dim: int,
    expected: str | None,
) -> None:
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    reason = varlen.reason_against(torch.device("cuda", 0), dtype, head_dim)
    assert reason == expected or (expected is not None and expected in str(reason))


def test_the_decision_is_a_constant_of_a_compiled_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    gpu = torch.device("cuda", 0)

    def decided(values: Tensor) -> Tensor:
        is_usable = varlen.reason_against(gpu, values.dtype, values.shape[-1]) is None
        return values + (1 if is_usable else -1)

    compiled = torch.compile(decided, fullgraph=True, backend="eager")
    for width, dtype in ((64, torch.bfloat16), (64, torch.float32), (256, torch.float16)):
        zeros = torch.zeros(2, width, dtype=dtype)
        assert torch.equal(compiled(zeros), decided(zeros))


def test_a_torch_without_it_or_with_it_disabled_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: False)
    reason = varlen.reason_against(gpu, torch.bfloat16, 64)
    assert reason == "this build of torch has no FlashAttention"
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    monkeypatch.setattr(torch.backends.cuda, "flash_sdp_enabled", lambda: False)
    reason = varlen.reason_against(gpu, torch.bfloat16, 64)
    assert reason == "FlashAttention is disabled in torch.backends.cuda"
