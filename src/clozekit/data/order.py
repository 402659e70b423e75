"""The samples of each global batch, as pure functions of the seed and a position.

Training reads one endless stream. Each epoch visits every shard once and shuffles both the shards
and the samples in each shard. A global batch takes the next samples of the stream and may span
shards and epochs, so no sample is dropped and none is read twice in an epoch.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from clozekit import rng
from clozekit.errors import DataError


@dataclass(frozen=True)
class Cursor:
    """A position in the samples of one source of a mixture.

    Attributes:
        epoch: The number of complete passes over the source before this position.
        slot: The index of the current shard in the epoch's order of shards.
        offset: The number of samples of the current shard that are already read.
        drawn: The number of samples that the source has given since the weights changed.
    """

    epoch: int = 0
    slot: int = 0
    offset: int = 0
    drawn: int = 0

    def in_next_epoch(self) -> Self:
        """Returns the position at the start of the next epoch."""
        return type(self)(self.epoch + 1, drawn=self.drawn)


@dataclass(frozen=True)
class Position:
    """A position in the stream: where the next global batch starts.

    Attributes:
        step: The number of global batches before this position.
        epoch: The number of complete passes over the data before this position. In a mixture, that
            of the source with the fewest passes.
        slot: The index of the current shard in the epoch's order of shards.
        offset: The number of samples of the current shard that are already read.
        phase: The index of the training phase.
        cursors: The position in each source of a mixture; empty without a mixture, and before the
            first step.
    """

    step: int = 0
    epoch: int = 0
    slot: int = 0
    offset: int = 0
    phase: int = 0
    cursors: tuple[Cursor, ...] = ()

    def in_phase(self, number: int, *, continues_epoch: bool, keeps_shares: bool) -> Self:
        """Returns the position at the start of another phase.

        Args:
            number: The index of the phase.
            continues_epoch: Whether the phase goes on in the epoch. If not, it begins the next one:
                a position in an epoch has no meaning for samples of another length.
            keeps_shares: Whether the weights of a mixture are as before. If not, the shares are
                counted anew.
        """
        cursors = [cursor if continues_epoch else cursor.in_next_epoch() for cursor in self.cursors]
        if not keeps_shares:
            cursors = [replace(cursor, drawn=0) for cursor in cursors]
        if continues_epoch:
            return replace(self, phase=number, cursors=tuple(cursors))
        return type(self)(self.step, self.epoch + 1, phase=number, cursors=tuple(cursors))

    def as_dict(self) -> dict[str, Any]:
        """Returns the position in plain containers."""
        values = asdict(self)
        cursors = values.pop("cursors")
        return values | ({"cursors": list(cursors)} if cursors else {})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Restores a position from plain containers."""
        cursors = tuple(Cursor(**cursor) for cursor in values.get("cursors", ()))
        return cls(**{**values, "cursors": cursors})


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


def shard_order(
    num_shards: int, seed: int, epoch: int, first_shard: int = 0
) -> NDArray[np.integer[Any]]:
    """Returns the order of the shards in an epoch.

    Args:
        num_shards: The number of shards.
        seed: The seed.
        epoch: The epoch.
        first_shard: The index of the first shard of a source among those of all sources of a
            mixture. It gives each source an order of its own.
    """
    source = (first_shard,) if first_shard else ()
    return rng.permutation(num_shards, seed, rng.Stream.SHARD_ORDER, epoch, *source)


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
    reader = ShardReader(
        num_samples, range(num_shards), seed, Cursor(start.epoch, start.slot, start.offset)
    )
    step = start.step
    while True:
        spans = reader.take(global_batch_size)
        step += 1
        at = reader.cursor
        yield spans, Position(step, at.epoch, at.slot, at.offset, start.phase)


class ShardReader:
    """Reads the samples of adjacent shards in the order of their epochs, without end.

    Args:
        num_samples: Returns the number of samples of (epoch, shard).
        shards: The shards.
        seed: The seed of both orders.
        start: The position to start from.
    """

    def __init__(
        self, num_samples: Callable[[int, int], int], shards: range, seed: int, start: Cursor
    ) -> None:
        self.cursor = start
        self._visits = _visits(num_samples, shards, seed, start)
        self._current: tuple[int, NDArray[np.integer[Any]]] | None = None

    def take(self, number: int) -> list[Span]:
        """Returns the next samples.

        Raises:
            DataError: An epoch has no samples.
        """
        spans: list[Span] = []
        at = self.cursor
        while number:
            if self._current is None or at.offset == len(self._current[1]):
                visit, shard, samples = next(self._visits)
                at = replace(visit, drawn=at.drawn)
                self._current = shard, samples
            shard, samples = self._current
            taken = samples[at.offset : at.offset + number].astype(np.int64)
            spans.append(Span(at.epoch, shard, taken))
            at = replace(at, offset=at.offset + len(taken), drawn=at.drawn + len(taken))
            number -= len(taken)
        self.cursor = at
        return spans


def _visits(
    num_samples: Callable[[int, int], int], shards: range, seed: int, start: Cursor
) -> Iterator[tuple[Cursor, int, NDArray[np.integer[Any]]]]:
    """Yields the position, the shard and its sample order for each shard visit from `start` on."""
    epoch, slot, offset = start.epoch, start.slot, start.offset
    while True:
        order = shard_order(len(shards), seed, epoch, shards.start)
        found_any = slot > 0
        for visit in range(slot, len(shards)):
            shard = shards[int(order[visit])]
            size = num_samples(epoch, shard)
            found_any = found_any or size > 0
            if size > offset:
                samples = sample_order(size, seed, epoch, shard)
                yield Cursor(epoch, visit, offset), shard, samples
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
        end = begin + len(span)
        if first < end and begin < last:
            samples = span.samples[max(first - begin, 0) : last - begin]
            kept.append(Span(span.epoch, span.shard, samples))
        begin = end
    return kept


def joined(spans: list[Span]) -> list[Span]:
    """Joins the spans of the same shard and epoch, in the order of their first samples."""
    of_shards: dict[tuple[int, int], list[NDArray[np.int64]]] = {}
    for span in spans:
        of_shards.setdefault((span.epoch, span.shard), []).append(span.samples)
    return [Span(*place, np.concatenate(samples)) for place, samples in of_shards.items()]


def in_order(
    num_samples: Callable[[int, int], int], shards: Iterable[int], size: int
) -> Iterator[Span]:
    """Yields every sample of epoch 0 once, in the order of the data, in spans of at most `size`."""
    for shard in shards:
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
