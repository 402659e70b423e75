"""Phases of a stream: a step's follows from its number, and each begins with an epoch."""

from itertools import islice
from pathlib import Path

import pytest

from clozekit.data.batch import MaskedLMBatch
from clozekit.data.order import Position
from clozekit.data.pretraining.corpus_datamodule import CorpusDataModule
from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule
from clozekit.data.stream import BatchShape, Phase, TrainingStream, make_loader
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


def described(batch: MaskedLMBatch) -> tuple:
    assert batch.step is not None
    return (batch.step, batch.input_ids.tolist(), batch.sample_ids.tolist())


def number_of(step: int) -> int:
    return sum(change <= step for change in CHANGES)


def batches(stream: TrainingStream, num_workers: int = 0) -> list[MaskedLMBatch]:
    """The micro-batches of the steps up to `STEPS`."""
    found = []
    for batch in make_loader(stream, num_workers, pin_memory=False):
        assert isinstance(batch, MaskedLMBatch) and batch.step is not None
        if batch.step.index == STEPS:
            break
        found.append(batch)
    return found


@pytest.mark.parametrize("make_source", [source_of, full_sentences_of])
def test_a_step_has_the_length_and_the_micro_batches_of_its_phase(
    make_source: object, shards: list[Path]
) -> None:
    longest: dict[int, int] = {}
    micro_steps: dict[int, list[int]] = {}
    ends: list[int] = []
    for batch in batches(TrainingStream(phases(shards, make_source), 7, Position())):
        step = batch.step
        number = number_of(step.index)
        longest[number] = max(longest.get(number, 0), batch.packing.max_seqlen)
        micro_steps.setdefault(step.index, []).append(step.micro_step)
        assert step.num_micro_steps == (2, 1, 4)[number]
        assert step.next_position.phase == number
        ends += [step.index] if step.is_last else []
    assert [0.8 * length < longest[n] <= length for n, length in enumerate(LENGTHS)] == [True] * 3
    assert ends == list(range(STEPS))
    for index, found in micro_steps.items():
        assert found == list(range((2, 1, 4)[number_of(index)]))


@pytest.mark.parametrize("make_source", [source_of, full_sentences_of])
def test_a_phase_begins_with_an_epoch(make_source: object, shards: list[Path]) -> None:
    epochs: dict[int, set[int]] = {}
    for batch in batches(TrainingStream(phases(shards, make_source), 7, Position())):
        epochs.setdefault(number_of(batch.step.index), set()).update(
            batch.sample_ids[:, 0].tolist()
        )
    assert max(epochs[0]) + 1 == min(epochs[1]) and max(epochs[1]) + 1 == min(epochs[2])


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("make_source", [source_of, full_sentences_of])
def test_the_stream_goes_on_from_any_step(
    make_source: object, num_workers: int, shards: list[Path]
) -> None:
    whole = batches(TrainingStream(phases(shards, make_source), 7, Position()))
    ends = [batch.step.next_position for batch in whole if batch.step.is_last]
    # With workers, which cost a second each, only around a change.
    for done in range(STEPS) if num_workers == 0 else (2, 3):
        start = ends[done - 1] if done else Position()
        stream = TrainingStream(phases(shards, make_source), 7, start)
        rest = [described(batch) for batch in batches(stream, num_workers)]
        assert rest == [described(batch) for batch in whole if batch.step.index >= done]


@pytest.mark.parametrize("make_source", [source_of, full_sentences_of])
def test_a_step_has_the_same_samples_on_two_processes(
    make_source: object, shards: list[Path]
) -> None:
    def samples(ranks: int) -> list[list[list[int]]]:
        of_steps: list[list[list[int]]] = [[] for _ in range(STEPS)]
        for rank in range(ranks):
            stream = TrainingStream(phases(shards, make_source, rank, ranks), 7, Position())
            for batch in batches(stream):
                of_steps[batch.step.index] += batch.sample_ids.tolist()
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
    assert only == Phase(only.source, BatchShape(16, 4))
    scattered = datamodule(corpus, first_phase={**FIRST, "micro_batch_size": 1})
    with pytest.raises(ConfigError, match="micro_batch_size=1"):
        scattered.phases(1000, 0, 12)


def test_validation_is_of_the_last_phases_length(corpus: Path) -> None:
    two, one = datamodule(corpus), datamodule(corpus, first_phase=None)
    expected, found = (list(module.val_dataloader()) for module in (one, two))
    assert [batch.input_ids.tolist() for batch in found] == [
        batch.input_ids.tolist() for batch in expected
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
    for batch in islice(datamodule(corpus).train_dataloader(), 10):
        assert batch.packing.max_seqlen <= 24 and batch.batch_size == 8
