"""Batches of a corpus: their layout, their denominators, and the same samples on any hardware."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from clozekit.corpus.shards import Shard
from clozekit.data.batch import MaskedLMBatch, PretrainingBatch
from clozekit.data.loader import TrainingLoader, loader_options
from clozekit.data.order import Position, Span
from clozekit.data.pretraining.full_sentences_source import FullSentencesSource
from clozekit.data.pretraining.pair_source import PretrainingSource
from clozekit.data.step import StepBatch
from clozekit.data.stream import BatchShape, EvaluationStream, Phase, TrainingStream
from clozekit.errors import ConfigError
from tests.data.pretraining.shards_of_words import (
    SPECIAL_TOKENS,
    full_sentences_of,
    source_of,
    write_words,
)

AnySource = PretrainingSource | FullSentencesSource


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("shards")
    return [write_words(folder / f"train-{n:05}.arrow", 12, seed=n) for n in range(3)]


@pytest.fixture
def source(shards: list[Path]) -> PretrainingSource:
    return source_of(shards, max_seq_length=64)


@pytest.fixture(params=[source_of, full_sentences_of])
def any_source(request: pytest.FixtureRequest, shards: list[Path]) -> AnySource:
    """Pairs, whose samples are sequences; and sentences, whose samples are several."""
    return request.param(shards, max_seq_length=64)


def rows(batch: MaskedLMBatch) -> list[tuple]:
    """Everything about each sequence, whatever batch it stands in."""
    has_pairs = isinstance(batch, PretrainingBatch)
    found = []
    begins, ends = batch.packing.cu_seqlens[:-1].tolist(), batch.packing.cu_seqlens[1:].tolist()
    positions = batch.masked_lm_positions.numpy()
    for number, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        inside = (positions >= begin) & (positions < end)
        found.append(
            (
                tuple(batch.sample_ids[number].tolist()),
                int(batch.next_sentence_label[number]) if has_pairs else None,
                tuple(batch.input_ids[begin:end].tolist()),
                tuple(batch.token_type_ids[begin:end].tolist()),
                tuple((positions[inside] - begin).tolist()),
                tuple(batch.masked_lm_labels.numpy()[inside].tolist()),
            )
        )
    return found


def test_layout_is_cls_a_sep_b_sep(source: PretrainingSource, shards: list[Path]) -> None:
    tokens = Shard.open(shards[1]).tokens
    plan = source.plan(2, 1)
    batch = source.build([Span(2, 1, np.array([5, 0, 3]))], is_training=False)
    for number, pair in enumerate([5, 0, 3]):
        _, label, ids, segments, places, labels = rows(batch)[number]
        a = tokens[plan.a_start[pair] : plan.a_end[pair]].tolist()
        b = tokens[plan.b_start[pair] : plan.b_end[pair]].tolist()
        restored = list(ids)
        for place, token in zip(places, labels, strict=True):
            restored[place] = token
        assert restored == [2, *a, 3, *b, 3]
        assert segments == (0,) * (len(a) + 2) + (1,) * (len(b) + 1)
        assert label == plan.next_sentence_label[pair]
        special = {0, len(a) + 1, len(a) + len(b) + 2}
        assert not special & set(places)
    assert batch.sample_ids[:, :2].tolist() == [[2, 1]] * 3


def test_padded_form_is_what_other_libraries_read(source: PretrainingSource) -> None:
    batch = source.build([Span(0, 0, np.arange(4))], is_training=False)
    padded = batch.padded()
    lengths = batch.packing.cu_seqlens.diff().tolist()
    assert padded["attention_mask"].sum(dim=1).tolist() == lengths
    for row, length in enumerate(lengths):
        assert padded["input_ids"][row, 0] == SPECIAL_TOKENS.cls
        assert padded["input_ids"][row, length - 1] == SPECIAL_TOKENS.sep
        assert padded["input_ids"][row, length:].eq(0).all()


def first_steps(
    source: AnySource,
    shape: BatchShape,
    number: int,
    start: Position | None = None,
    workers: int = 0,
) -> list[StepBatch]:
    """A process's share of so many steps from a position on."""
    start = start or Position()
    stream = TrainingStream([Phase(source, shape)], 7, start)
    loader = TrainingLoader(stream, lambda: start, **loader_options(workers, pin_memory=False))
    return list(islice(loader, number))


def whole_steps(source: AnySource, shape: tuple[int, int], workers: int, number: int) -> list:
    """The rows of every global step, put together from all ranks and micro-batches."""
    world_size, micro_batch_size = shape
    by_part: dict[tuple[int, int, int], list[tuple]] = {}
    for rank in range(world_size):
        batch_shape = BatchShape(16, micro_batch_size, rank, world_size)
        steps = first_steps(source, batch_shape, number, workers=workers)
        assert [step.index for step in steps] == list(range(number))
        for step in steps:
            assert len(step.micro_batches) == batch_shape.accumulation
            for micro_step, batch in enumerate(step.micro_batches):
                if isinstance(source, PretrainingSource):
                    assert batch.batch_size <= micro_batch_size
                assert batch.packing.num_tokens <= micro_batch_size * 64
                by_part[step.index, micro_step, rank] = rows(batch)
    merged: list[list[tuple]] = [[] for _ in range(number)]
    for (index, _, _), found in sorted(by_part.items()):
        merged[index] += found
    return merged


@pytest.mark.parametrize(
    ("shape", "workers"),
    [((2, 16), 0), ((4, 16), 0), ((1, 4), 0), ((1, 3), 0), ((2, 2), 0), ((1, 16), 1), ((2, 2), 2)],
)
def test_a_global_step_holds_the_same_samples_however_it_is_shared_out(
    any_source: AnySource, shape: tuple[int, int], workers: int
) -> None:
    num_samples = sum(any_source.num_samples(0, shard) for shard in range(3))
    steps = num_samples // 16 + 3  # into the second epoch
    expected = whole_steps(any_source, (1, 16), 0, steps)
    assert whole_steps(any_source, shape, workers, steps) == expected


def test_the_plan_knows_what_the_batches_will_hold(any_source: AnySource) -> None:
    for index, step in enumerate(first_steps(any_source, BatchShape(16, 4), 10)):
        parts = step.micro_batches
        assert (step.index, len(parts)) == (index, 4)
        assert step.num_sequences == sum(part.batch_size for part in parts)
        assert step.num_sequences == 16 or isinstance(any_source, FullSentencesSource)
        assert step.num_targets == sum(len(part.masked_lm_labels) for part in parts)
        assert step.num_tokens == sum(part.packing.num_tokens for part in parts)
        assert step.next_position.step == index + 1


def test_going_on_from_a_position_gives_the_same_batches(any_source: AnySource) -> None:
    shape = BatchShape(16, 16)
    whole = first_steps(any_source, shape, 30)
    for done in (1, 9, 25):
        rest = first_steps(any_source, shape, 30 - done, whole[done - 1].next_position)
        assert [step.index for step in rest] == list(range(done, 30))
        assert [rows(step.micro_batches[0]) for step in rest] == [
            rows(step.micro_batches[0]) for step in whole[done:]
        ]


def test_masks_are_drawn_anew_each_epoch_but_not_in_validation(any_source: AnySource) -> None:
    first = any_source.build([Span(0, 0, np.arange(5))], is_training=False)
    second = any_source.build([Span(1, 0, np.arange(5))], is_training=False)
    assert not torch.equal(first.masked_lm_positions, second.masked_lm_positions)
    streams = (EvaluationStream(any_source, 5, 0, 1) for _ in range(2))
    once, again = ([rows(loaded.batch) for loaded in stream] for stream in streams)
    assert once == again
    assert once[0] == rows(first)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_sees_every_sample_once(any_source: AnySource, world_size: int) -> None:
    seen = [
        row[0]
        for rank in range(world_size)
        for loaded in EvaluationStream(any_source, 7, rank, world_size)
        for row in rows(loaded.batch)
    ]
    if isinstance(any_source, PretrainingSource):
        expected = sum(any_source.num_samples(0, shard) for shard in range(3))
    else:
        expected = sum(len(any_source.plan(0, shard).start) for shard in range(3))
    assert len(seen) == len(set(seen)) == expected


def test_a_global_batch_larger_than_the_corpus_runs_through_epochs(
    source: PretrainingSource,
) -> None:
    num_pairs = sum(source.num_samples(0, shard) for shard in range(3))
    ((batch,),) = (
        s.micro_batches for s in first_steps(source, BatchShape(2 * num_pairs + 1, 10_000), 1)
    )
    epochs = batch.sample_ids[:, 0].bincount()
    assert epochs[0] == num_pairs
    assert batch.batch_size == 2 * num_pairs + 1


def test_an_empty_micro_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match="global_batch_size=3"):
        BatchShape(global_batch_size=3, micro_batch_size=1, rank=0, world_size=2)
