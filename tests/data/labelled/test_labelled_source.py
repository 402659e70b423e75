"""Labelled rows as samples: a row's sequences stay together where they have to."""

from collections import Counter
from itertools import chain, islice
from typing import Any

import numpy as np
import pytest

from clozekit.data.batch import Batch
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.order import Position, Span
from clozekit.data.stream import BatchShape, EvaluationStream, Phase, TrainingStream
from tests.data.labelled.labelled_rows import TASKS, drawn

NUM_ROWS = 23

tasks = pytest.mark.parametrize("task", TASKS)


def owners_of(batch: Batch) -> list[int]:
    return batch.sample_ids[:, 2].tolist()


def sequences_of(batch: Batch) -> list[tuple[int, ...]]:
    parts = batch.input_ids.split(batch.packing.cu_seqlens.diff().tolist())
    return [tuple(part.tolist()) for part in parts]


def sequences_by_row(rows: Any) -> list[list[tuple[int, ...]]]:
    bounds = np.cumsum(rows.sequences.lengths)[:-1]
    of_row: list[list[tuple[int, ...]]] = [[] for _ in rows.examples]
    split = np.split(rows.sequences.input_ids, bounds)
    for owner, ids in zip(rows.owners, split, strict=True):
        of_row[owner].append(tuple(ids.tolist()))
    return of_row


@tasks
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_visits_every_row_once_with_all_its_sequences(
    task: str, world_size: int
) -> None:
    rows = drawn(task, NUM_ROWS)
    expected = sequences_by_row(rows)
    source = LabelledSource(rows, is_training=False)
    streams = [EvaluationStream(source, 5, rank, world_size) for rank in range(world_size)]
    shares = [[loaded.batch for loaded in stream] for stream in streams]
    assert all(shares), "every process has something to do"
    visits: Counter[int] = Counter()
    for batch in chain(*shares):
        owners = owners_of(batch)
        assert owners == sorted(owners), "rows are in their own order"
        visits.update(set(owners))
        sequences = [of for owner in sorted(set(owners)) for of in expected[owner]]
        assert sequences_of(batch) == sequences
    assert visits == Counter(range(NUM_ROWS))


@tasks
@pytest.mark.parametrize("size", [1, 4, 50])
def test_an_evaluation_batch_has_no_more_sequences_than_asked_for_but_of_one_row(
    task: str, size: int
) -> None:
    rows = drawn(task, NUM_ROWS)
    largest = np.bincount(rows.owners).max()
    assert (largest > 1) == (task not in ("classification", "multi_label", "regression"))
    source = LabelledSource(rows, is_training=False)
    batches = [loaded.batch for loaded in EvaluationStream(source, size, 0, 1)]
    for batch in batches:
        assert batch.batch_size <= size or len(batch.examples) == 1
    if size == 1:
        assert max(batch.batch_size for batch in batches) == largest
    if largest == 1:
        assert len(batches) == -(-NUM_ROWS // size)


@tasks
def test_evaluation_batches_name_their_rows_in_the_order_of_their_sequences(task: str) -> None:
    rows = drawn(task, NUM_ROWS)
    source = LabelledSource(rows, is_training=False)
    # The order of the samples that are asked for does not count.
    batch = source.build([Span(0, 0, np.array([7, 2, 11]))], is_training=False)
    assert [example.id for example in batch.examples] == [2, 7, 11]
    assert list(dict.fromkeys(owners_of(batch))) == [2, 7, 11]
    assert batch.examples == tuple(rows.examples[i] for i in (2, 7, 11))
    if "question" in task:
        places = [window.example for window in batch.windows]
        assert [(2, 7, 11)[place] for place in places] == owners_of(batch)


@tasks
def test_training_batches_carry_no_rows_but_their_steps_totals(task: str) -> None:
    rows = drawn(task, NUM_ROWS)
    source = LabelledSource(rows, is_training=True)
    stream = iter(TrainingStream([Phase(source, BatchShape(6, 6))], 0, Position()))
    for _ in range(5):
        step = next(stream)
        (batch,) = step.micro_batches
        assert batch.examples == () and getattr(batch, "windows", ()) == ()
        assert step.num_sequences == batch.batch_size
        assert step.num_tokens == len(batch.input_ids)


def test_training_reads_windows_apart_and_choices_together() -> None:
    windows, choices = drawn("tagging", NUM_ROWS), drawn("multiple_choice", NUM_ROWS)
    assert len(windows.owners) > NUM_ROWS
    assert LabelledSource(windows, is_training=True).num_samples(0, 0) == len(windows.owners)
    source = LabelledSource(choices, is_training=True)
    assert source.num_samples(0, 0) == NUM_ROWS
    expected = sequences_by_row(choices)
    steps = islice(TrainingStream([Phase(source, BatchShape(4, 1))], 0, Position()), 5)
    batches = [batch for step in steps for batch in step.micro_batches]
    assert len(batches) == 20
    for batch in batches:
        (owner,) = set(owners_of(batch))
        assert sequences_of(batch) == expected[owner]
        assert batch.labels.tolist() == [choices.examples[owner].label]  # type: ignore[attr-defined]


def test_a_global_batch_without_a_target_has_a_denominator_all_the_same() -> None:
    rows = drawn("tagging", 1)
    rows.num_targets[:] = 0
    source = LabelledSource(rows, is_training=True)
    assert source.totals([Span(0, 0, np.array([0]))]).num_targets == 1


@tasks
@pytest.mark.parametrize("max_tokens", [1, 40, 10_000])
def test_evaluation_in_batches_of_few_tokens_leaves_nothing_out(task: str, max_tokens: int) -> None:
    source = LabelledSource(drawn(task, NUM_ROWS), is_training=False)
    spans = list(source.evaluation_spans(5, max_tokens))
    samples = np.concatenate([span.samples for span in spans])
    assert sorted(samples.tolist()) == list(range(NUM_ROWS))
    for span in spans:
        packing = source.build([span], is_training=False).packing
        assert len(span) == 1 or packing.batch_size * packing.max_seqlen <= max_tokens
