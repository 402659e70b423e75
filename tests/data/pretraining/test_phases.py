"""Phases of a stream: a step's follows from its number, and each begins with an epoch."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from clozekit.data.batch import MaskedLMBatch
from clozekit.data.loader import TrainingLoader, loader_options
from clozekit.data.order import Position
from clozekit.data.pretraining.corpus_datamodule import CorpusDataModule
from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule
from clozekit.data.step import StepBatch
from clozekit.data.stream import BatchShape, Phase, TrainingStream
from clozekit.errors import ConfigError
from tests.data.pretraining.shards_of_words import full_sentences_of, source_of, write_words

CHANGES = (3, 7)
LENGTHS = (24, 40, 64)
STEPS = 12
FIRST = {"ratio": 0.9, "max_seq_length": 24, "micro_batch_size": 8}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("shards")
    return [write_words(folder / f"train-{n:05}.arrow", 6, seed=n) for n in range(2)]


def phases(shards: list[Path], make_source: object, rank: int = 0, ranks: int = 1) -> list[Phase]:
    """Three phases of other lengths, in micro-batches of 4, 8 and 2."""
    return [
        Phase(make_source(shards, max_seq_length=length), BatchShape(8, size, rank, ranks), first)
        for length, size, first in zip(LENGTHS, (4, 8, 2), (0, *CHANGES), strict=True)
    ]


def described(step: StepBatch[MaskedLMBatch]) -> tuple:
    batches = [(b.input_ids.tolist(), b.sample_ids.tolist()) for b in step.micro_batches]
    return step.index, step.totals, step.next_position, batches


def number_of(step: int) -> int:
    return sum(change <= step for change in CHANGES)


def steps_of(
    phases: list[Phase], start: Position | None = None, num_workers: int = 0
) -> list[StepBatch[MaskedLMBatch]]:
    """The steps from a position up to `STEPS`."""
    start = start or Position()
    stream = TrainingStream(phases, 7, start)
    loader = TrainingLoader(stream, lambda: start, **loader_options(num_workers, pin_memory=False))
    return list(islice(loader, STEPS - start.step))


@pytest.mark.parametrize("make_source", [source_of, full_sentences_of])
def test_a_step_has_the_length_and_the_micro_batches_of_its_phase(
    make_source: object, shards: list[Path]
) -> None:
    longest: dict[int, int] = {}
    steps = steps_of(phases(shards, make_source))
    for step in steps:
        number = number_of(step.index)
        of_step = max(batch.packing.max_seqlen for batch in step.micro_batches)
        longest[number] = max(longest.get(number, 0), of_step)
        assert len(step.micro_batches) == (2, 1, 4)[number]
        assert step.next_position.phase == number
    assert [0.8 * length < longest[n] <= length for n, length in enumerate(LENGTHS)] == [True] * 3
    assert [step.index for step in steps] == list(range(STEPS))


@pytest.mark.parametrize("make_source", [source_of, full_sentences_of])
def test_a_phase_begins_with_an_epoch(make_source: object, shards: list[Path]) -> None:
    epochs: dict[int, set[int]] = {}
    for step in steps_of(phases(shards, make_source)):
        of_phase = epochs.setdefault(number_of(step.index), set())
        for batch in step.micro_batches:
            of_phase.update(batch.sample_ids[:, 0].tolist())
    assert max(epochs[0]) + 1 == min(epochs[1]) and max(epochs[1]) + 1 == min(epochs[2])


def test_a_phase_without_steps_is_no_epoch(shards: list[Path]) -> None:
    given = [replace(phase, first_step=0) for phase in phases(shards, source_of)[:2]]
    step = steps_of(given)[0]
    assert (step.next_position.phase, step.next_position.epoch) == (1, 0)
    assert step.micro_batches[0].sample_ids[:, 0].unique().tolist() == [0]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("make_source", [source_of, full_sentences_of])
def test_the_stream_goes_on_from_any_step(
    make_source: object, num_workers: int, shards: list[Path]
) -> None:
    whole = steps_of(phases(shards, make_source))
    # With workers, which cost a second each, only around a change.
    for done in range(STEPS) if num_workers == 0 else (2, 3):
        start = whole[done - 1].next_position if done else Position()
        rest = steps_of(phases(shards, make_source), start, num_workers)
        assert [described(step) for step in rest] == [described(step) for step in whole[done:]]


@pytest.mark.parametrize("make_source", [source_of, full_sentences_of])
def test_a_step_has_the_same_samples_on_two_processes(
    make_source: object, shards: list[Path]
) -> None:
    def samples(ranks: int) -> list[list[list[int]]]:
        of_steps: list[list[list[int]]] = [[] for _ in range(STEPS)]
        for rank in range(ranks):
            for step in steps_of(phases(shards, make_source, rank, ranks)):
                for batch in step.micro_batches:
                    of_steps[step.index] += batch.sample_ids.tolist()
        return [sorted(step) for step in of_steps]

    assert samples(2) == samples(1)


def datamodule(corpus: Path, **changes: object) -> CorpusDataModule:
    arguments = {
        "path": corpus,
        "seed": 0,
        "global_batch_size": 16,
        "micro_batch_size": 4,
        "max_seq_length": 48,
    }
    return PretrainingDataModule(**{**arguments, "first_phase": FIRST, **changes})


def test_the_first_phase_is_a_share_of_all_steps(corpus: Path) -> None:
    module = datamodule(corpus)
    for max_steps, expected in ((1000, 900), (1001, 901), (10, 9)):
        first, last = module.phases(max_steps, 0, 1)
        assert (first.first_step, last.first_step) == (0, expected)
    assert (first.shape.accumulation, last.shape.accumulation) == (2, 4)
    (only,) = datamodule(corpus, first_phase=None).phases(1000, 0, 1)
    assert only == Phase(only.source, BatchShape(16, 4), max_seq_length=48)
    scattered = datamodule(corpus, first_phase={**FIRST, "micro_batch_size": 1})
    with pytest.raises(ConfigError, match="micro_batch_size=1"):
        scattered.phases(1000, 0, 12)


def test_validation_is_of_the_last_phases_length(corpus: Path) -> None:
    two, one = datamodule(corpus), datamodule(corpus, first_phase=None)
    expected, found = (list(module.val_dataloader()) for module in (one, two))
    assert [loaded.batch.input_ids.tolist() for loaded in found] == [
        loaded.batch.input_ids.tolist() for loaded in expected
    ]


def test_an_epochs_steps_are_those_of_both_phases(corpus: Path) -> None:
    module = datamodule(corpus)
    max_steps = 1000
    passes = sum(
        steps * 16 / phase.source.num_samples(0, 0)
        for steps, phase in zip((900, 100), module.phases(max_steps, 0, 1), strict=True)
    )
    assert module.sources["train"].num_shards == 1
    assert max_steps / module.steps_per_epoch() == pytest.approx(passes)


def test_the_first_batches_are_of_the_first_phase(corpus: Path) -> None:
    for step in islice(datamodule(corpus).train_dataloader(), 5):
        assert len(step.micro_batches) == 2
        for batch in step.micro_batches:
            assert batch.packing.max_seqlen <= 24 and batch.batch_size == 8
