"""Attention over packed sequences against that over the padded form."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from clozekit.models import Encoder
from clozekit.models.kernels import varlen
from tests.models.batches import packed_batch, without_dropout


def one_by_one(
    query: Tensor, key: Tensor, value: Tensor, ends: Tensor, ends_of_keys: Tensor, *longest: int
) -> Tensor:
    """Does what `varlen_attn` does, sequence by sequence, after checking what it asks for."""
    assert ends.dtype == torch.int32 and torch.equal(ends, ends_of_keys)
    assert longest == (int(ends.diff().max()),) * 2
    bounds = ends.tolist()
    contexts = [
        F.scaled_dot_product_attention(
            *(x[begin:end].transpose(0, 1) for x in (query, key, value))
        ).transpose(0, 1)
        for begin, end in pairwise(bounds)
    ]
    return torch.cat(contexts)


def outputs_and_gradients(encoder: Encoder) -> Iterator[Tensor]:
    batch = packed_batch()
    output = encoder(batch.input_ids, batch.token_type_ids, packing=batch.packing)
    yield from output
    loss = output.sequence_output.sin().sum() + output.pooled_output.sin().sum()
    yield from torch.autograd.grad(loss, list(encoder.parameters()))


def test_outputs_and_gradients_are_those_of_the_padded_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = Encoder(without_dropout()).double()
    expected = list(outputs_and_gradients(encoder))
    monkeypatch.setattr(varlen, "varlen_attn", one_by_one)
    monkeypatch.setattr(varlen, "can_attend", lambda qkv, dropout_prob: True)
    torch.testing.assert_close(list(outputs_and_gradients(encoder)), expected)


def test_it_is_not_used_on_the_cpu() -> None:
    assert not varlen.can_attend(torch.zeros(4, 3, 2, 8, dtype=torch.bfloat16), 0.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_it_is_near_the_exact_attention() -> None:
    torch.manual_seed(0)
    batch = packed_batch()
    packing = batch.packing.to("cuda")
    qkv = torch.randn(packing.num_tokens, 3, 2, 16, device="cuda", dtype=torch.bfloat16)
    if not varlen.can_attend(qkv, 0.0):
        pytest.skip("this GPU or this torch has no attention over packed sequences")
    exact = one_by_one(
        *qkv.float().unbind(1), packing.cu_seqlens, packing.cu_seqlens, *[packing.max_seqlen] * 2
    )
    torch.testing.assert_close(varlen.attend(qkv, packing).float(), exact, rtol=0.02, atol=0.02)
