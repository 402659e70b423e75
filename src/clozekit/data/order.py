"""The samples of each global batch, as pure functions of the seed and a position.

Training reads one endless stream. Each epoch visits every shard once and shuffles both the shards
and the samples in each shard. A global batch takes the next samples of the stream and may span
shards and epochs, so no sample is dropped and none is read twice in an epoch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clozekit import rng
from clozekit.errors import DataError


@dataclass(frozen=True)
class Position:
    """A position in the stream: where the next global batch starts.

    Attributes:
        step: The number of global batches before this position.
        epoch: The number of complete passes over the data before this position.
        slot: The index of the current shard in the epoch's order of shards.
        offset: The number of samples of the current shard that are already read.
        phase: The index of the training phase. Phases have samples of different lengths.
    """

    step: int = 0
    epoch: int = 0
    slot: int = 0
    offset: int = 0
    phase: int = 0


@dataclass(frozen=True)
class Span:
    """Adjacent samples in a batch that come from one shard.

    Attributes:
        epoch: The epoch of the samples.
        shard: The shard's index.
        samples: `[samples]`, int64. The indices of the samples in the shard.
    """

    epoch: int
    shard: int
    samples: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.samples)


def shard_order(num_shards: int, seed: int, epoch: int) -> NDArray[np.integer[Any]]:
    """Returns the order of the shards in an epoch."""
    return rng.permutation(num_shards, seed, rng.Stream.SHARD_ORDER, epoch)


def sample_order(num_samples: int, seed: int, epoch: int, shard: int) -> NDArray[np.integer[Any]]:
    """Returns the order of a shard's samples in an epoch."""
    return rng.permutation(num_samples, seed, rng.Stream.SAMPLE_ORDER, epoch, shard)


def global_batches(
    num_samples: Callable[[int, int], int],
    num_shards: int,
    seed: int,
    start: Position,
    global_batch_size: int,
) -> Iterator[tuple[list[Span], Position]]:
    """Yields global batches from a position on, without end.

    Args:
        num_samples: Returns the number of samples of (epoch, shard).
        num_shards: The number of shards.
        seed: The seed of both orders.
        start: The position to start from.
        global_batch_size: The number of samples per global batch.

    Yields:
        The batch's spans in order, and the position after it.

    Raises:
        DataError: An epoch has no samples.
    """
    runs = _runs(num_samples, num_shards, seed, start)
    epoch, slot, shard, offset, samples = next(runs)
    step = start.step
    while True:
        spans: list[Span] = []
        missing = global_batch_size
        while missing:
            if offset == len(samples):
                epoch, slot, shard, offset, samples = next(runs)
            taken = samples[offset : offset + missing].astype(np.int64)
            spans.append(Span(epoch, shard, taken))
            offset += len(taken)
            missing -= len(taken)
        step += 1
        yield spans, Position(step, epoch, slot, offset, start.phase)


def _runs(
    num_samples: Callable[[int, int], int], num_shards: int, seed: int, start: Position
) -> Iterator[tuple[int, int, int, int, NDArray[np.integer[Any]]]]:
    """Yields (epoch, slot, shard, offset, sample order) for each shard visit from `start` on."""
    epoch, slot, offset = start.epoch, start.slot, start.offset
    while True:
        shards = shard_order(num_shards, seed, epoch)
        found_any = slot > 0
        for visit in range(slot, num_shards):
            shard = int(shards[visit])
            size = num_samples(epoch, shard)
            found_any = found_any or size > 0
            if size > offset:
                yield epoch, visit, shard, offset, sample_order(size, seed, epoch, shard)
            offset = 0
        if not found_any:
            raise DataError(
                "the training data has no samples; pretraining pairs need documents of two or more "
                "sentences"
            )
        epoch, slot = epoch + 1, 0


def part_of(spans: list[Span], part: int, num_parts: int) -> list[Span]:
    """Splits a batch into `num_parts` parts, equal to within one sample, and returns one of them.

    A rank reads part `micro_step * world_size + rank` of `accumulation * world_size` in a
    micro-step, so a global batch has the same samples on any number of processes.
    """
    size = sum(len(span) for span in spans)
    first, last = part * size // num_parts, (part + 1) * size // num_parts
    kept: list[Span] = []
    begin = 0
    for span in spans:
        samples = span.samples[max(first - begin, 0) : max(last - begin, 0)]
        if len(samples):
            kept.append(Span(span.epoch, span.shard, samples))
        begin += len(span)
    return kept


def in_order(num_samples: Callable[[int, int], int], num_shards: int, size: int) -> Iterator[Span]:
    """Yields every sample of epoch 0 once, in the order of the data, in spans of at most `size`."""
    for shard in range(num_shards):
        samples = np.arange(num_samples(0, shard))
        for begin in range(0, len(samples), size):
            yield Span(0, shard, samples[begin : begin + size])


def concatenated_ranges(
    starts: NDArray[np.integer[Any]], lengths: NDArray[np.integer[Any]]
) -> NDArray[np.int64]:
    """Concatenates `range(start, start + length)` over all pairs of `starts` and `lengths`."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    places: NDArray[np.int64] = np.arange(total) + np.repeat(starts - ends + lengths, lengths)
    return places
