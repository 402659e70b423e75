"""The DataModule's position: where a run is in the stream, and where an iterator begins."""

from itertools import islice
from pathlib import Path

import pytest
import torch

from clozekit.data.batch import Batch
from clozekit.data.order import Position, global_batches
from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule
from clozekit.data.step import StepBatch
from clozekit.runs.checkpoint_file import load_checkpoint


def datamodule_of(corpus: Path, num_workers: int = 0) -> PretrainingDataModule:
    return PretrainingDataModule(
        path=str(corpus),
        seed=0,
        global_batch_size=16,
        micro_batch_size=8,
        max_seq_length=48,
        num_workers=num_workers,
    )


@pytest.fixture
def datamodule(corpus: Path) -> PretrainingDataModule:
    return datamodule_of(corpus)


def described(step: StepBatch[Batch]) -> tuple:
    batches = [(b.input_ids.tolist(), b.sample_ids.tolist()) for b in step.micro_batches]
    return step.index, step.totals, step.next_position, batches


def test_a_runs_position_is_that_of_the_order(
    reference_run: Path, datamodule: PretrainingDataModule
) -> None:
    file = load_checkpoint(reference_run / "checkpoints" / "last.ckpt").path
    content = torch.load(file, weights_only=True)
    source = datamodule.sources["train"]
    batches = global_batches(source.num_samples, source.num_shards, 0, Position(), 16)
    (_, expected) = next(islice(batches, 99, None))
    assert expected.step == 100 and expected.epoch > 0
    assert Position(**content["PretrainingDataModule"]["position"]) == expected


def test_a_datamodule_goes_on_where_another_was(datamodule: PretrainingDataModule) -> None:
    steps = list(islice(datamodule.train_dataloader(), 5))
    saved = {"position": steps[2].next_position.as_dict()}
    datamodule.load_state_dict(saved)
    assert datamodule.state_dict() == saved
    following = next(iter(datamodule.train_dataloader()))
    assert described(following) == described(steps[3])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_every_iterator_begins_at_the_position(
    num_workers: int, corpus: Path, datamodule: PretrainingDataModule
) -> None:
    expected = [described(step) for step in islice(datamodule.train_dataloader(), 7)]
    datamodule = datamodule_of(corpus, num_workers)
    loader = datamodule.train_dataloader()
    # The position is set after the loader is made, as by Lightning when a run is resumed.
    datamodule.position = expected[0][2]
    found = []
    for _ in range(2):
        # Workers have built more than the three steps that are taken.
        for step in islice(loader, 3):
            found.append(described(step))
            datamodule.position = step.next_position
    assert found == expected[1:]
    # Where nothing was trained on, it begins again where it was.
    assert [next(iter(loader)).index for _ in range(2)] == [7, 7]
