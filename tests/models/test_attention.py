"""The encoder on packed sequences on every device and in every precision.

On the CPU FlashAttention is a stand-in; see `flash_on_cpu`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch._functorch.config as functorch_config
from torch import Tensor

from clozekit.data.packing import Packing
from clozekit.models import Encoder
from clozekit.models.attention import reason_for_padding
from clozekit.models.kernels import grouping, varlen
from clozekit.models.kernels.recomputed_dropout import use_default_generator
from clozekit.tasks.pretraining import pretraining_losses
from tests.models.batches import packed_batch, tiny_config, without_dropout
from tests.models.models import pretraining_model

LENGTHS = (50, 3, 64, 1, 17, 33)
HALVES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
SIZES = {"hidden_size": 40, "max_position_embeddings": 80}
"""With four heads of width 10, which is no multiple of 8."""
LOCAL = {
    "norm_position": "pre",
    "position_embedding_type": "rotary",
    "local_attention": 16,
    "global_attn_every_n_layers": 2,
}
"""The second layer is local."""


def make_encoder(
    device: torch.device, dtype: torch.dtype, dropout: float = 0.0, **changes: Any
) -> Encoder:
    torch.manual_seed(0)
    config = tiny_config(
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=dropout,
        initializer_range=0.2,
        **SIZES,
        **changes,
    )
    return Encoder(config).to(device, dtype)


def batch_of(lengths: tuple[int, ...]) -> tuple[Tensor, Packing]:
    packing = Packing.from_lengths(np.array(lengths))
    generator = torch.Generator().manual_seed(len(lengths))
    return torch.randint(1, 50, (packing.num_tokens,), generator=generator), packing


def outputs_and_gradients(
    encoder: Encoder, ids: Tensor, packing: Packing, num_tokens: int, batch_size: int
) -> list[Tensor]:
    """Of the first tokens and sequences only; the others are padding."""
    device = next(encoder.parameters()).device
    output = encoder(ids.to(device), packing=packing.to(device))
    assert output.pooled_output is not None
    outputs = output.sequence_output[:num_tokens], output.pooled_output[:batch_size]
    loss = sum(values.float().sin().sum() for values in outputs)
    assert isinstance(loss, Tensor)
    gradients = torch.autograd.grad(loss, list(encoder.parameters()))
    return [values.detach().cpu().double() for values in (*outputs, *gradients)]


def of_batch(encoder: Encoder, lengths: tuple[int, ...] = LENGTHS) -> list[Tensor]:
    ids, packing = batch_of(lengths)
    return outputs_and_gradients(encoder, ids, packing, packing.num_tokens, packing.batch_size)


def exact_of(encoder: Encoder, lengths: tuple[int, ...] = LENGTHS) -> list[Tensor]:
    """In float64 on the CPU, with the encoder's own, rounded weights."""
    exact = Encoder(encoder.config).double()
    exact.load_state_dict(encoder.state_dict())
    return of_batch(exact, lengths)


def assert_as_near_as(ours: list[Tensor], twins: list[Tensor], exact: list[Tensor]) -> None:
    """Asserts that errors are not much larger than those of a plain twin in the same precision.

    FlashAttention's own tests have the same criterion. Errors of single values vary, also with the
    number of threads, so the twin's largest error in a tensor of the same kind is allowed for a
    tensor that it got right.
    """
    shares = [
        float((twin - right).abs().max() / right.abs().max())
        for twin, right in zip(twins, exact, strict=True)
    ]
    for mine, right, share in zip(ours, exact, shares, strict=True):
        assert mine.isfinite().all()
        allowed = max(3 * share, max(shares), 1e-5)
        assert float((mine - right).abs().max() / right.abs().max()) <= allowed


@pytest.fixture
def padded_twin(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A patch that can be undone, under which attention has the padded form."""
    with monkeypatch.context() as patch:
        patch.setattr(varlen, "reason_against", lambda *_: "it is turned off by a test")
        yield patch


@HALVES
@pytest.mark.parametrize("changes", [{}, LOCAL], ids=["global", "local"])
def test_flash_attention_is_as_near_to_the_exact_encoder_as_the_padded_form(
    flash_device: torch.device,
    dtype: torch.dtype,
    padded_twin: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    encoder = make_encoder(flash_device, dtype, **changes)
    twins = of_batch(encoder)
    padded_twin.undo()
    assert_as_near_as(of_batch(encoder), twins, exact_of(encoder))


@pytest.mark.parametrize("in_groups", [False, True])
def test_float32_is_exact_on_every_device(
    device: torch.device, in_groups: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The padded form, whose groups have lengths that the host knows."""
    for name in ("LEAST_SCORES", "LEAST_SCORES_ON_GPU"):
        monkeypatch.setattr(grouping, name, 1 if in_groups else 1 << 40)
    encoder = make_encoder(device, torch.float32)
    exact = exact_of(encoder)
    for ours, right in zip(of_batch(encoder), exact, strict=True):
        tolerance = 1e-4 * float(right.abs().max())
        torch.testing.assert_close(ours, right, rtol=0, atol=tolerance)


@pytest.mark.parametrize("in_order", [True, False])
def test_groups_of_a_batch_on_a_gpu_are_those_on_the_cpu(
    device: torch.device, in_order: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LEAST_SCORES", "LEAST_SCORES_ON_GPU"):
        monkeypatch.setattr(grouping, name, 1)
    lengths = sorted(LENGTHS, reverse=True) if in_order else LENGTHS
    packing = Packing.from_lengths(np.array(lengths))
    expected = grouping.Grouping.by_length(packing)
    made = grouping.Grouping.by_length(packing.to(device))
    tokens = torch.arange(packing.num_tokens)
    assert torch.equal(made.arrange(tokens.to(device)).cpu(), expected.arrange(tokens))
    assert torch.equal(made.restore(made.arrange(tokens.to(device))).cpu(), tokens)
    assert len(made.groups) == len(expected.groups) > 1
    for ours, theirs in zip(made.groups, expected.groups, strict=True):
        assert ours.packing.indices.device.type == device.type
        assert torch.equal(ours.packing.indices.cpu(), theirs.packing.indices)
        assert (ours.key_mask is None) == (theirs.key_mask is None)


@pytest.mark.parametrize("lengths", [(*LENGTHS, 20, 0, 0), (*LENGTHS, 0, 0, 20, 7)])
def test_sequences_that_pad_a_batch_change_nothing(
    flash_device: torch.device, lengths: tuple[int, ...], padded_twin: pytest.MonkeyPatch
) -> None:
    """Padding tokens have sequences of their own, some are empty, and none has the maximum."""
    ids, own = batch_of(LENGTHS)
    packing = replace(Packing.from_lengths(np.array([*lengths, 80])), lengths=None)
    # The last sequence only makes the indices those of a longer maximum.
    packing = replace(
        packing,
        cu_seqlens=packing.cu_seqlens[:-1],
        position_ids=packing.position_ids[:-80],
        indices=packing.indices[:-80],
    )
    ids = torch.cat([ids, torch.zeros(packing.num_tokens - own.num_tokens, dtype=torch.int64)])
    encoder = make_encoder(flash_device, torch.bfloat16)
    exact = exact_of(encoder)

    def padded() -> list[Tensor]:
        return outputs_and_gradients(encoder, ids, packing, own.num_tokens, own.batch_size)

    twins = padded()
    padded_twin.undo()
    assert_as_near_as(twins, of_batch(encoder), exact)
    assert_as_near_as(padded(), twins, exact)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_it_compiles_to_one_graph_for_all_lengths(
    flash_device: torch.device, dtype: torch.dtype
) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    encoder = make_encoder(flash_device, dtype, num_hidden_layers=1)
    all_lengths = (LENGTHS, (5, 70))
    twins = [of_batch(encoder, lengths) for lengths in all_lengths]
    exact = [exact_of(encoder, lengths) for lengths in all_lengths]
    encoder.compile(fullgraph=True, dynamic=True, backend=backend_of(flash_device))
    for lengths, twin, right in zip(all_lengths, twins, exact, strict=True):
        assert_as_near_as(of_batch(encoder, lengths), twin, right)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2


def backend_of(device: torch.device) -> str:
    """On the CPU the graph and its backward are traced, but not compiled by C++."""
    return "inductor" if device.type == "cuda" else "aot_eager"


@pytest.fixture
def default_generator() -> Iterator[None]:
    """What training sets before it compiles blocks that are computed again in backward."""
    config: Any = functorch_config
    with config.patch("graphsafe_rng_functionalization", True):
        use_default_generator()
        assert not config.graphsafe_rng_functionalization
        yield


@pytest.mark.parametrize("is_compiled", [False, True])
def test_checkpointing_draws_the_same_dropout_again(
    flash_device: torch.device, is_compiled: bool, default_generator: None
) -> None:
    """Also if compiled, and with the mask that the seed gives without any of this."""
    torch._dynamo.reset()
    encoder = make_encoder(flash_device, torch.bfloat16, dropout=0.3, num_hidden_layers=1)
    results = []
    for activation_checkpointing in (False, True):
        encoder.activation_checkpointing = activation_checkpointing
        if is_compiled and activation_checkpointing:
            encoder.compile(fullgraph=True, dynamic=True, backend=backend_of(flash_device))
        torch.manual_seed(7)
        results.append(of_batch(encoder))
    for ours, plain in zip(*results, strict=True):
        # Another mask would change most values by as much as they are.
        error = (ours - plain).abs().mean() / plain.abs().mean()
        assert error < 0.05


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_compiled_dropout_depends_on_the_seed_only(default_generator: None) -> None:
    """In all places, and in whatever order the seeds come."""
    for activation_checkpointing in (False, True):
        torch._dynamo.reset()
        encoder = Encoder(tiny_config(num_hidden_layers=1)).cuda().bfloat16()
        encoder.activation_checkpointing = activation_checkpointing
        encoder.compile(fullgraph=True, dynamic=True)
        results = []
        for seed in (1, 2, 1):
            torch.manual_seed(seed)
            results.append(of_batch(encoder, (16, 5, 9)))
        for first, _, again in zip(*results, strict=True):
            largest = float(first.abs().max())
            # Sums of gradients may have another order.
            torch.testing.assert_close(again, first, rtol=0, atol=0.02 * largest)
        assert torch.equal(results[0][0], results[2][0])
        assert not torch.equal(results[0][0], results[1][0])


def test_a_batch_with_dropout_depends_on_the_seed_only(flash_device: torch.device) -> None:
    encoder = make_encoder(flash_device, torch.bfloat16, dropout=0.3)
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(of_batch(encoder)[0])
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
    encoder.eval()
    torch.manual_seed(1)
    plain = of_batch(encoder)[0]
    torch.manual_seed(2)
    assert torch.equal(of_batch(encoder)[0], plain)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_the_host_does_not_wait_for_a_gpu(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouping, "LEAST_SCORES_ON_GPU", 1)
    model = pretraining_model(tiny_config()).cuda()
    batch = packed_batch((16, 3, 9, 1) * 200)
    arguments = {
        name: value.cuda() if isinstance(value, Tensor) else value.to("cuda")
        for name, value in vars(batch).items()
    }
    batch = type(batch)(**arguments)
    for mode in ("default", "error"):  # the first run allocates memory
        torch.cuda.set_sync_debug_mode(mode)
        try:
            with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
                mlm, nsp = pretraining_losses(model, batch)  # type: ignore[arg-type]
            (mlm.loss_sum + nsp.loss_sum).backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_the_reason_for_padding_follows_from_the_configuration() -> None:
    cpu = torch.device("cpu")
    assert reason_for_padding(without_dropout(), cpu, torch.bfloat16) == "the device is cpu"
    gpu = torch.device("cuda", 0)
    reason = reason_for_padding(without_dropout(), gpu, torch.float32)
    assert reason == "attention is computed in float32"
    wide = without_dropout(hidden_size=4 * 300)
    reason = reason_for_padding(wide, gpu, torch.bfloat16)
    assert reason == "a head of width 300 is wider than 256"


def test_lengths_are_not_read_from_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups need the lengths; without them on the host there is one group."""
    monkeypatch.setattr(grouping, "LEAST_SCORES", 1)
    packing = Packing.from_lengths(np.array(LENGTHS))
    encoder = Encoder(without_dropout())
    assert len(encoder._grouping(packing).groups) > 1
    assert len(encoder.to("meta")._grouping(packing.to("meta")).groups) == 1
