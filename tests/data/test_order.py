"""The stream of global batches: every sample once an epoch, however the batches are shared out."""

from collections import Counter
from itertools import chain, islice
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clozekit.data import stream as stream_module
from clozekit.data.batch import Batch
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.order import (
    Position,
    concatenated_ranges,
    global_batches,
    in_order,
    part_of,
)
from clozekit.data.step import StepBatch
from clozekit.data.stream import BatchShape, Phase, TrainingStream
from clozekit.errors import DataError
from tests.data.labelled.labelled_rows import drawn

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
    spans = list(in_order(lambda epoch, shard: sizes[shard], range(3), size=2))
    assert flat(spans) == [(0, 0, i) for i in range(5)] + [(0, 2, i) for i in range(3)]
    assert max(len(span) for span in spans) == 2


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 6)), max_size=8))
def test_concatenated_ranges(pairs: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in pairs], np.int64)
    lengths = np.array([length for _, length in pairs], np.int64)
    expected = [place for start, length in pairs for place in range(start, start + length)]
    assert concatenated_ranges(starts, lengths).tolist() == expected


def labelled(task: str, is_training: bool = True) -> LabelledSource:
    return LabelledSource(drawn(task, 37), is_training)


def sequences(batch: Batch) -> list[tuple[int, int, tuple[int, ...]]]:
    """The epoch, row and tokens of every sequence."""
    parts = batch.input_ids.split(batch.packing.cu_seqlens.diff().tolist())
    return [
        (epoch, row, tuple(ids.tolist()))
        for (epoch, _, row), ids in zip(batch.sample_ids.tolist(), parts, strict=True)
    ]


def described(step: StepBatch[Batch]) -> tuple:
    """Everything about a step."""
    batches = [sequences(batch) for batch in step.micro_batches]
    return step.index, step.totals, step.next_position, batches


def first_steps(
    source: LabelledSource, shape: BatchShape, steps: int, start: Position | None = None
) -> list[StepBatch[Batch]]:
    stream = TrainingStream([Phase(source, shape)], 5, start or Position())
    return list(islice(stream, steps))


@pytest.mark.parametrize("task", ["classification", "tagging", "multiple_choice"])
@pytest.mark.parametrize(("world_size", "micro_batch_size"), [(1, 3), (2, 6), (2, 2), (4, 3)])
def test_a_labelled_global_batch_is_the_same_however_it_is_shared_out(
    world_size: int, micro_batch_size: int, task: str
) -> None:
    source, number = labelled(task), 8  # more than two epochs
    whole = first_steps(source, BatchShape(12, 12), number)
    shapes = [BatchShape(12, micro_batch_size, rank, world_size) for rank in range(world_size)]
    shares = [first_steps(source, shape, number) for shape in shapes]
    for index, (step, *of_ranks) in enumerate(zip(whole, *shares, strict=True)):
        (batch,) = step.micro_batches
        assert [len(share.micro_batches) for share in of_ranks] == [
            shape.accumulation for shape in shapes
        ]
        # A global batch's parts are dealt to the ranks in turn.
        parts = chain(*zip(*(share.micro_batches for share in of_ranks), strict=True))
        assert [one for part in parts for one in sequences(part)] == sequences(batch)
        for share in of_ranks:
            assert share.index == step.index == index
            assert share.totals == step.totals
            assert share.next_position == step.next_position


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_workers_in_turn_give_the_stream_of_one_process(
    num_workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, shape, number = labelled("classification"), BatchShape(12, 5), 12
    expected = [described(step) for step in first_steps(source, shape, number)]
    of_workers = []
    for worker in range(num_workers):
        info = SimpleNamespace(id=worker, num_workers=num_workers)
        monkeypatch.setattr(stream_module, "get_worker_info", lambda info=info: info)
        share = len(range(worker, len(expected), num_workers))
        stream = TrainingStream([Phase(source, shape)], 5, Position())
        of_workers.append([described(step) for step in islice(stream, share)])
    for index, step in enumerate(expected):
        assert of_workers[index % num_workers][index // num_workers] == step


@pytest.mark.parametrize("task", ["classification", "question_answering"])
@pytest.mark.parametrize("done", [1, 3, 5])
def test_a_labelled_stream_goes_on_from_a_position_with_the_same_batches(
    done: int, task: str
) -> None:
    source, shape = labelled(task), BatchShape(12, 5)
    whole = first_steps(source, shape, 8)
    assert whole[done - 1].index == done - 1
    rest = first_steps(source, shape, 8 - done, start=whole[done - 1].next_position)
    assert [described(step) for step in rest] == [described(step) for step in whole[done:]]


def test_every_labelled_row_comes_once_an_epoch_in_another_order_each() -> None:
    source = labelled("classification")
    steps = first_steps(source, BatchShape(12, 12), 10)
    read = [one for step in steps for batch in step.micro_batches for one in sequences(batch)]
    rows = [[row for epoch, row, _ in read if epoch == number] for number in range(3)]
    for epoch in rows:
        assert sorted(epoch) == list(range(37))
    firsts = {frozenset(epoch[:12]) for epoch in rows}
    assert len(firsts) == 3


def test_micro_batches_of_a_global_batch_hold_rows_of_nearly_the_same_length() -> None:
    source = LabelledSource(drawn("classification", 200), is_training=True)

    def padded_tokens(batches: list[Batch]) -> int:
        return sum(batch.batch_size * batch.packing.max_seqlen for batch in batches)

    whole, parts = (
        [
            batch
            for step in first_steps(source, BatchShape(32, size), 10)
            for batch in step.micro_batches
        ]
        for size in (32, 8)
    )
    assert (len(whole), len(parts)) == (10, 40)
    real = sum(len(batch.input_ids) for batch in whole)
    assert sum(len(batch.input_ids) for batch in parts) == real
    # Without an order by length, a part's longest row would be nearly as long as the whole's.
    assert padded_tokens(parts) - real < 0.5 * (padded_tokens(whole) - real)
