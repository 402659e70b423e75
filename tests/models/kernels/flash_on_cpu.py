"""A stand-in on the CPU for the operator of FlashAttention, which torch has for CUDA only.

It is registered as the operator's kernel, so the call, its gradient formula and its tracing are
torch's own. It checks what the CUDA kernel checks, and like it leaves undefined what belongs to no
sequence. The arithmetic is that of float32, rounded to the dtype of the query at the end.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor


@contextmanager
def flash_attention_on_cpu() -> Iterator[None]:
    """Registers the stand-in while the context is open."""
    library = torch.library.Library("aten", "IMPL")
    library.impl("_flash_attention_forward", _forward, "CPU")
    library.impl("_flash_attention_backward", _backward, "CPU")
    try:
        yield
    finally:
        library._destroy()


def _check(query: Tensor, key: Tensor, value: Tensor, ends: Tensor, ends_of_keys: Tensor) -> None:
    total, num_heads, head_dim = query.shape
    assert query.dtype in (torch.float16, torch.bfloat16)
    assert head_dim % 8 == 0 and head_dim <= 256
    for tensor in (query, key, value):
        assert tensor.shape == (total, num_heads, head_dim) and tensor.dtype == query.dtype
        assert tensor.stride(-1) == 1
    for tensor in (ends, ends_of_keys):
        assert tensor.dtype == torch.int32 and tensor.is_contiguous() and len(tensor) > 1
    assert torch.equal(ends, ends_of_keys)


def _weights(query: Tensor, key: Tensor, scale: float, window: dict[str, Any]) -> Tensor:
    """Maps two `[tokens, heads, head_dim]` to `[heads, tokens, tokens]`, before dropout."""
    scores = torch.einsum("qhd,khd->hqk", query, key).mul(scale)
    left, right = window.get("window_size_left"), window.get("window_size_right")
    assert left == right
    if left is not None:
        places = torch.arange(len(query))
        is_far = (places[:, None] - places).abs() > left
        scores = scores.masked_fill(is_far, -math.inf)
    return scores.softmax(-1)


def _kept(rng_state: Tensor, number: int, like: Tensor, dropout_p: float) -> Tensor:
    """Draws the factors of dropout of a sequence as the CUDA kernel does: from one byte each."""
    if dropout_p == 0:
        return torch.ones_like(like)
    generator = torch.Generator().manual_seed(int(rng_state[0].item()) + number)
    drawn = torch.randint(0, 256, like.shape, generator=generator)
    return (drawn <= math.floor((1 - dropout_p) * 255)) / (1 - dropout_p)


def _of_sequences(ends: Tensor, longest: int) -> Iterator[tuple[int, slice]]:
    for number, (begin, end) in enumerate(pairwise(ends.tolist())):
        if begin < end:
            assert end - begin <= longest, "the CUDA kernel would leave the rest undefined"
            yield number, slice(begin, end)


def _forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cum_seq_q: Tensor,
    cum_seq_k: Tensor,
    max_q: int,
    max_k: int,
    dropout_p: float,
    is_causal: bool,
    return_debug_mask: bool,
    *,
    scale: float,
    **window: Any,
) -> tuple[Tensor, ...]:
    _check(query, key, value, cum_seq_q, cum_seq_k)
    assert not is_causal and not return_debug_mask and max_q == max_k
    output = torch.full_like(query, math.nan)
    logsumexp = torch.full(query.shape[1::-1], math.nan)
    rng_state = torch.zeros(2, dtype=torch.uint64)
    if dropout_p:
        rng_state[0] = torch.randint(0, 2**40, ()).item()
    for number, part in _of_sequences(cum_seq_q, max_q):
        weights = _weights(query[part].float(), key[part].float(), scale, window)
        dropped = weights * _kept(rng_state, number, weights, dropout_p)
        output[part] = torch.einsum("hqk,khd->qhd", dropped, value[part].float()).to(query.dtype)
    unused_state = torch.zeros((), dtype=torch.uint64)
    return output, logsumexp, rng_state, unused_state, query.new_empty(0)


def _backward(
    grad_out: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    logsumexp: Tensor,
    cum_seq_q: Tensor,
    cum_seq_k: Tensor,
    max_q: int,
    max_k: int,
    dropout_p: float,
    is_causal: bool,
    rng_state: Tensor,
    unused_state: Tensor,
    *,
    scale: float,
    **window: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    _check(query, key, value, cum_seq_q, cum_seq_k)
    assert grad_out.dtype == query.dtype and grad_out.shape == out.shape == query.shape
    of_query, of_key, of_value = (torch.full_like(x, math.nan) for x in (query, key, value))
    for number, part in _of_sequences(cum_seq_q, max_q):
        q, k, v, gradient = (x[part].float() for x in (query, key, value, grad_out))
        weights = _weights(q, k, scale, window)
        kept = _kept(rng_state, number, weights, dropout_p)
        of_value[part] = torch.einsum("hqk,qhd->khd", weights * kept, gradient).to(query.dtype)
        of_weights = torch.einsum("qhd,khd->hqk", gradient, v) * kept
        of_scores = weights * (of_weights - (of_weights * weights).sum(-1, keepdim=True)) * scale
        of_query[part] = torch.einsum("hqk,khd->qhd", of_scores, k).to(query.dtype)
        of_key[part] = torch.einsum("hqk,qhd->khd", of_scores, q).to(query.dtype)
    return of_query, of_key, of_value
