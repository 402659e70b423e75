"""Which samples make up which global batch: pure functions of the seed and a position.

Training reads one endless stream. An epoch visits every shard once, in an order of its own; a
shard's samples are read in an order of their own; a global batch takes the next samples of the
stream and may lie across shards and epochs, so nothing is dropped and nothing comes twice.
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
    """A place in the stream: where the next global batch begins.

    Attributes:
        step: The number of global batches before it.
        epoch: The number of whole passes over the data before it.
        slot: The place of the current shard in the epoch's order of shards.
        offset: The number of the shard's samples that are already read.
        phase: The phase of training that the samples are of, which have another length in another.
    """

    step: int = 0
    epoch: int = 0
    slot: int = 0
    offset: int = 0
    phase: int = 0


@dataclass(frozen=True)
class Span:
    """Samples of one shard that stand next to each other in a batch.

    Attributes:
        epoch: The epoch that the samples are read in.
        shard: The shard's index.
        samples: `[samples]`, int64. Their indices in the shard.
    """

    epoch: int
    shard: int
    samples: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.samples)


def shard_order(num_shards: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Gives the order in which an epoch visits the shards."""
    return rng.permutation(num_shards, seed, rng.Stream.SHARD_ORDER, epoch)


def sample_order(num_samples: int, seed: int, epoch: int, shard: int) -> NDArray[np.int64]:
    """Gives the order in which an epoch reads a shard's samples."""
    return rng.permutation(num_samples, seed, rng.Stream.SAMPLE_ORDER, epoch, shard)


def global_batches(
    num_samples: Callable[[int, int], int],
    num_shards: int,
    seed: int,
    start: Position,
    global_batch_size: int,
) -> Iterator[tuple[list[Span], Position]]:
    """Yields every global batch from a position on, without end.

    Args:
        num_samples: Gives the number of samples of (epoch, shard).
        num_shards: The number of shards.
        seed: The seed of both orders.
        start: Where to begin.
        global_batch_size: The number of samples of a global batch.

    Yields:
        The batch's spans in order, and the position after it.

    Raises:
        DataError: A whole epoch has no sample.
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
            taken = samples[offset : offset + missing]
            spans.append(Span(epoch, shard, taken))
            offset += len(taken)
            missing -= len(taken)
        step += 1
        yield spans, Position(step, epoch, slot, offset, start.phase)


def _runs(
    num_samples: Callable[[int, int], int], num_shards: int, seed: int, start: Position
) -> Iterator[tuple[int, int, int, int, NDArray[np.int64]]]:
    """Yields (epoch, slot, shard, offset, sample order) of every shard visit from `start` on."""
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
                "the training data has no sample: a pretraining pair needs a document of two "
                "sentences or more"
            )
        epoch, slot = epoch + 1, 0


def part_of(spans: list[Span], part: int, num_parts: int) -> list[Span]:
    """Cuts a batch into `num_parts` parts, even to within one sample, and returns one of them.

    Part `micro_step * world_size + rank` of `accumulation * world_size` is what a rank reads in a
    micro-step, so a global batch holds the same samples however it is shared out.
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
    """Yields every sample of epoch 0 once, in the data's own order, in spans of at most `size`."""
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
