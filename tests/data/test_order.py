"""The stream of global batches: every sample once an epoch, however the batches are shared out."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clozekit.data.order import (
    Position,
    concatenated_ranges,
    global_batches,
    in_order,
    part_of,
)
from clozekit.errors import DataError

sizes_of_shards = st.lists(st.integers(0, 12), min_size=1, max_size=4).filter(any)
seeds = st.integers(0, 2**32)


def flat(spans: list) -> list[tuple[int, int, int]]:
    return [(span.epoch, span.shard, int(sample)) for span in spans for sample in span.samples]


def stream(sizes: list[int], seed: int, start: Position, batch_size: int, steps: int) -> list:
    batches = global_batches(lambda epoch, shard: sizes[shard], len(sizes), seed, start, batch_size)
    return list(islice(batches, steps))


@given(sizes_of_shards, seeds, st.integers(1, 9))
def test_every_sample_comes_once_an_epoch(sizes: list[int], seed: int, batch_size: int) -> None:
    epochs = 3
    steps = -(-epochs * sum(sizes) // batch_size)
    samples = [
        s for spans, _ in stream(sizes, seed, Position(), batch_size, steps) for s in flat(spans)
    ]
    counts = Counter(samples[: epochs * sum(sizes)])
    expected = {(e, s, i) for e in range(epochs) for s, n in enumerate(sizes) for i in range(n)}
    assert set(counts) == expected
    assert set(counts.values()) == {1}


@given(sizes_of_shards, seeds, st.integers(1, 9))
def test_epochs_are_read_one_after_the_other(sizes: list[int], seed: int, batch_size: int) -> None:
    steps = -(-2 * sum(sizes) // batch_size)
    samples = [
        s for spans, _ in stream(sizes, seed, Position(), batch_size, steps) for s in flat(spans)
    ]
    epochs = [epoch for epoch, _, _ in samples]
    assert epochs == sorted(epochs)


@given(sizes_of_shards, seeds, st.integers(1, 9), st.integers(0, 12), st.integers(1, 6))
def test_a_position_is_where_the_stream_goes_on(
    sizes: list[int], seed: int, batch_size: int, skipped: int, steps: int
) -> None:
    whole = stream(sizes, seed, Position(), batch_size, skipped + steps)
    start = whole[skipped - 1][1] if skipped else Position()
    rest = stream(sizes, seed, start, batch_size, steps)
    assert [flat(spans) for spans, _ in rest] == [flat(spans) for spans, _ in whole[skipped:]]
    assert [position for _, position in rest] == [position for _, position in whole[skipped:]]
    assert start.step == skipped


@given(
    sizes_of_shards, seeds, st.integers(4, 20), st.sampled_from([(1, 1), (2, 1), (4, 1), (2, 2)])
)
def test_ranks_and_micro_steps_share_a_global_batch(
    sizes: list[int], seed: int, batch_size: int, shape: tuple[int, int]
) -> None:
    world_size, accumulation = shape
    num_parts = world_size * accumulation
    for spans, _ in stream(sizes, seed, Position(), batch_size, 3):
        parts = [flat(part_of(spans, part, num_parts)) for part in range(num_parts)]
        assert [sample for part in parts for sample in part] == flat(spans)
        lengths = [len(part) for part in parts]
        assert max(lengths) - min(lengths) <= 1


def test_orders_differ_between_epochs_and_seeds() -> None:
    first, second = (
        [flat(spans) for spans, _ in stream([100], seed, Position(), 100, 2)] for seed in (0, 1)
    )
    orders = [[sample for _, _, sample in batch] for batch in (*first, *second)]
    assert len({tuple(order) for order in orders}) == 4


def test_order_is_uniform() -> None:
    firsts = [flat(stream([4], seed, Position(), 1, 1)[0][0])[0][2] for seed in range(4000)]
    counts = np.bincount(firsts, minlength=4)
    assert np.abs(counts - 1000).max() < 6 * np.sqrt(750)


def test_a_corpus_without_samples_is_refused_not_searched_for_ever() -> None:
    with pytest.raises(DataError, match="no sample"):
        stream([0, 0], 0, Position(), 4, 1)


def test_in_order_lists_every_sample_once() -> None:
    sizes = [5, 0, 3]
    spans = list(in_order(lambda epoch, shard: sizes[shard], 3, size=2))
    assert flat(spans) == [(0, 0, i) for i in range(5)] + [(0, 2, i) for i in range(3)]
    assert max(len(span) for span in spans) == 2


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 6)), max_size=8))
def test_concatenated_ranges(pairs: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in pairs], np.int64)
    lengths = np.array([length for _, length in pairs], np.int64)
    expected = [place for start, length in pairs for place in range(start, start + length)]
    assert concatenated_ranges(starts, lengths).tolist() == expected
