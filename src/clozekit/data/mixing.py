"""Mixtures of sources: which source gives each sample of the stream, in exact shares.

Every sample of a global batch has an index in the stream. The source of an index follows from the
weights alone, so it is the same on any number of processes. Each source has its own order and its
own epochs, and a source that is exhausted starts its next epoch while the others go on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

import numpy as np
from numpy.typing import NDArray

from clozekit.data.order import Cursor, Position, ShardReader, Span


@dataclass(frozen=True)
class Mixture:
    """The sources of a split and their shares.

    Attributes:
        names: The name of each source.
        shards: The indices of each source's shards among those of all sources.
        weights: The weight of each source, as integers without a common divisor.
    """

    names: tuple[str, ...]
    shards: tuple[range, ...]
    weights: tuple[int, ...]


def integer_weights(weights: Sequence[float]) -> tuple[int, ...]:
    """Converts weights to the smallest integers in the same ratios: 0.5 and 1.5 to 1 and 3."""
    fractions = [Fraction(str(weight)) for weight in weights]
    common = lcm(*(fraction.denominator for fraction in fractions))
    whole = [int(fraction * common) for fraction in fractions]
    divisor = gcd(*whole)
    return tuple(number // divisor for number in whole)


def interleaving(weights: Sequence[int], drawn: Sequence[int], number: int) -> NDArray[np.int64]:
    """Chooses the source of each of the next samples.

    After any number of samples each source has its exact share to within less than one sample
    (Tijdeman, 1980, "The chairman assignment problem"). With two sources, any other window of
    samples has the shares to within one sample too. With more sources no order can do that for all
    weights; here such a window differs by less than two.

    Args:
        weights: The weight of each source; a source with weight 0 gives no samples.
        drawn: The number of samples that each source has given so far.
        number: The number of samples to choose sources for.

    Returns:
        `[number]`, the index of each sample's source.
    """
    sources = [source for source, weight in enumerate(weights) if weight]
    if len(sources) == 1:
        return np.full(number, sources[0])
    total = sum(weights[source] for source in sources)
    done = sum(drawn[source] for source in sources)
    # How far each source is behind its share, in units of 1 / total.
    behind = {source: weights[source] * done - total * drawn[source] for source in sources}
    # Of the sources that may give a sample now, that with the earliest deadline does. In exact
    # integers: `spread` is the denominator of Tijdeman's bound.
    spread = 2 * len(sources) - 2
    chosen = np.empty(number, np.int64)
    for index in range(number):
        best, best_time = -1, 0
        for source in sources:
            behind[source] += weights[source]
            if spread * behind[source] >= total:
                time = total * (spread - 1) - spread * behind[source]
                if best < 0 or time * weights[best] < best_time * weights[source]:
                    best, best_time = source, time
        behind[best] -= total
        chosen[index] = best
    return chosen


def mixed_batches(
    num_samples: Callable[[int, int], int],
    mixture: Mixture,
    seed: int,
    start: Position,
    global_batch_size: int,
) -> Iterator[tuple[list[Span], Position]]:
    """Yields global batches of a mixture from a position on, without end.

    Args:
        num_samples: Returns the number of samples of (epoch, shard).
        mixture: The sources and their shares.
        seed: The seed of the order of shards and samples.
        start: The position to start from.
        global_batch_size: The number of samples per global batch.

    Yields:
        The batch's spans in the order of the stream, and the position after it.

    Raises:
        DataError: An epoch of a source has no samples.
    """
    cursors = start.cursors or (Cursor(),) * len(mixture.shards)
    readers = [
        ShardReader(num_samples, shards, seed, cursor)
        for shards, cursor in zip(mixture.shards, cursors, strict=True)
    ]
    step = start.step
    while True:
        drawn = [reader.cursor.drawn for reader in readers]
        chosen = interleaving(mixture.weights, drawn, global_batch_size)
        counts = np.bincount(chosen, minlength=len(readers)).tolist()
        taken = [reader.take(count) for reader, count in zip(readers, counts, strict=True)]
        step += 1
        cursors = tuple(reader.cursor for reader in readers)
        yield (
            _interleaved(chosen, taken),
            Position(
                step,
                epoch=min(c.epoch for c, w in zip(cursors, mixture.weights, strict=True) if w),
                phase=start.phase,
                cursors=cursors,
            ),
        )


def _interleaved(chosen: NDArray[np.int64], taken: list[list[Span]]) -> list[Span]:
    """Puts the samples of each source at the places that are chosen for it.

    Args:
        chosen: `[samples]`, the source of each sample.
        taken: The spans of each source.
    """
    rows = np.empty((3, len(chosen)), np.int64)
    for source, spans in enumerate(taken):
        if spans:
            sizes = [len(span) for span in spans]
            rows[:, chosen == source] = [
                np.repeat([span.epoch for span in spans], sizes),
                np.repeat([span.shard for span in spans], sizes),
                np.concatenate([span.samples for span in spans]),
            ]
    epochs, shards, samples = rows
    changes = np.flatnonzero((np.diff(epochs) != 0) | (np.diff(shards) != 0)) + 1
    begins = [0, *changes.tolist()]
    return [
        Span(int(epochs[begin]), int(shards[begin]), samples[begin:end])
        for begin, end in zip(begins, [*begins[1:], len(chosen)], strict=True)
    ]
