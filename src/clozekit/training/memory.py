"""Estimates how much memory training needs."""

import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from clozekit.config.encoder import EncoderConfig
from clozekit.data.order import Span, part_of
from clozekit.data.stream import Phase
from clozekit.optim.groups import Groups

_BYTES = 4
"""Of a float32 value."""

LOADED_LATER = 120 * 2**20
"""Bytes of lazily loaded libraries and of the buffers of the loss."""

_STEPS_LOOKED_AT = 8

_PROBE_SIZE = 24
"""The size of each dimension of the parameters on which an optimizer is tried."""


def largest_micro_batch(phases: Sequence[Phase]) -> int:
    """Returns the number of tokens of the largest micro-batch, without padding.

    A few steps of adjacent samples of the first shard are looked at; in a mixture, those of each
    source, of which a micro-batch may have samples of one alone.
    """
    most = 0
    for phase in phases:
        shards = (0,) if phase.mixture is None else (s.start for s in phase.mixture.shards)
        for shard in shards:
            most = max(most, _largest_of(phase, shard))
    return most


def most_tokens(phases: Sequence[Phase], seq_length: int) -> int:
    """Returns the number of tokens that no micro-batch exceeds, without looking at the data."""
    samples = max(-(-p.shape.global_batch_size // p.shape.num_parts) for p in phases)
    return samples * seq_length


def gradients_and_optimizer(groups: Groups, make_optimizer: Callable[[Groups], Optimizer]) -> int:
    """Returns the bytes of the gradients and of the optimizer's state, such as Adam's two moments.

    The optimizer takes one step on small parameters, from which its state per value is known.

    Args:
        groups: The parameters' groups.
        make_optimizer: Makes the optimizer from groups.
    """
    total = 0
    for group in groups:
        for ndim in {parameter.ndim for parameter in group["params"]}:
            values = sum(p.numel() for p in group["params"] if p.ndim == ndim)
            total += round(values * (_BYTES + _state_per_value(group, ndim, make_optimizer)))
    return total


def _state_per_value(
    group: dict[str, Any], ndim: int, make_optimizer: Callable[[Groups], Optimizer]
) -> float:
    """Returns the bytes of an optimizer's state for each value of a group's parameters."""
    probe = nn.Parameter(torch.zeros([_PROBE_SIZE] * ndim))
    probe.grad = torch.zeros_like(probe)
    with torch.random.fork_rng(devices=[]):
        optimizer = make_optimizer([{**group, "params": [probe]}])
        optimizer.step()
    # A state such as the number of steps is not one per value.
    state = [t for t in optimizer.state[probe].values() if isinstance(t, Tensor) and t.ndim]
    return sum(tensor.nbytes for tensor in state) / probe.numel()


def kept_for_backward(
    encoder: EncoderConfig, num_tokens: int, seq_length: int, keeps_attention: bool = True
) -> int:
    """Estimates the bytes of what each layer keeps for backward, in float32.

    For each token these are the inputs of the four linear layers; the query, key and value; the
    inputs of both norms; and a byte for each value that dropout may set to zero. On the CPU,
    dropout of attention keeps its weights for each head, and a byte for each.

    Args:
        encoder: The encoder.
        num_tokens: The number of tokens of a batch.
        seq_length: The length of its sequences.
        keeps_attention: Whether dropout of attention keeps its weights: on the CPU it does, while
            the kernels of a GPU compute them again.
    """
    of_a_layer = _per_layer(encoder, seq_length, keeps_attention)
    return int(_BYTES * num_tokens * encoder.num_hidden_layers * of_a_layer)


def activations(
    encoder: EncoderConfig,
    num_tokens: int,
    seq_length: int,
    checkpointing: bool = False,
    keeps_attention: bool = True,
) -> int:
    """Estimates the bytes of all activations of a forward and its backward.

    The arguments are those of `kept_for_backward`, and whether blocks are computed again in
    backward. The embeddings, the heads, and the gradients on the way back need about as much as two
    layers, and where dropout of attention keeps its weights, as much as three: that was measured on
    the shapes of its test.
    """
    of_a_layer = _BYTES * num_tokens * _per_layer(encoder, seq_length, keeps_attention)
    kept = kept_for_backward(encoder, num_tokens, seq_length, keeps_attention)
    if checkpointing:
        kept = _BYTES * num_tokens * encoder.num_hidden_layers * encoder.hidden_size
    keeps_weights = keeps_attention and encoder.attention_probs_dropout_prob > 0
    return int(kept + (3 if keeps_weights else 2) * of_a_layer)


def used_so_far() -> int:
    """Returns the peak memory of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 2**10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 2**10


def _largest_of(phase: Phase, shard: int) -> int:
    """Returns the number of tokens of the largest micro-batch of a shard's first samples."""
    source, shape, most = phase.source, phase.shape, 0
    size, num_samples = shape.global_batch_size, source.num_samples(0, shard)
    if not num_samples:
        return 0
    for step in range(max(1, min(_STEPS_LOOKED_AT, num_samples // size))):
        samples = (np.arange(size) + step * size) % num_samples
        spans = source.arranged([Span(0, shard, samples)])
        # The longest samples come first.
        first = part_of(spans, shape.own_parts[0], shape.num_parts)
        most = max(most, source.totals(first).num_tokens)
    return most


def _per_layer(encoder: EncoderConfig, seq_length: int, keeps_attention: bool) -> float:
    """Returns the number of float32 values per token and layer."""
    hidden = encoder.hidden_size
    inner = encoder.intermediate_size * (2 if encoder.gated_feed_forward else 1)
    values: float = 8 * hidden + inner
    if encoder.local_attention is not None:
        # Keys and values are copied to windows, of twice the tokens.
        values += 4 * hidden
    if encoder.hidden_dropout_prob:
        values += 2 * hidden / 4
    if encoder.attention_probs_dropout_prob and keeps_attention:
        values += encoder.num_attention_heads * seq_length * 5 / 4
    return values
