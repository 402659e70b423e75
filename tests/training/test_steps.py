"""Steps depend on nothing but their number: seeds, and the place in the stream."""

from itertools import islice, product
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from clozekit.training.steps import StatelessSteps

from clozekit.data.batch import Batch, Step
from clozekit.data.order import Position, global_batches
from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule
from clozekit.runs.checkpoint_file import load_checkpoint


def seed_of(seed: int, step: int, micro_step: int, rank: int) -> int:
    """The seed that torch has when a micro-batch begins."""
    batch = SimpleNamespace(step=Step(step, micro_step, 8, 100, 10, Position(), num_micro_steps=4))
    trainer = SimpleNamespace(global_rank=rank)
    StatelessSteps(seed).on_train_batch_start(trainer, None, batch, 0)  # type: ignore[arg-type]
    return torch.initial_seed()


def test_every_seed_step_micro_step_and_rank_has_dropout_of_its_own() -> None:
    keys = list(product(range(3), range(4), range(3), range(3)))
    seeds = {seed_of(*key) for key in keys}
    assert len(seeds) == len(keys)
    assert {seed_of(*key) for key in reversed(keys)} == seeds


def test_the_same_step_has_the_same_dropout() -> None:
    masks = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        seed_of(0, 5, 1, 0)
        masks.append(torch.nn.functional.dropout(torch.ones(100), 0.5))
    assert torch.equal(*masks)


@pytest.fixture
def datamodule(corpus: Path) -> PretrainingDataModule:
    return PretrainingDataModule(
        path=corpus, seed=0, global_batch_size=16, micro_batch_size=16, max_seq_length=48
    )


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
    loader = iter(datamodule.train_dataloader())
    batches: list[Batch] = [next(loader) for _ in range(5)]
    assert batches[2].step is not None
    saved = {"position": vars(batches[2].step.next_position)}
    datamodule.load_state_dict(saved)
    assert datamodule.state_dict() == saved
    following = next(iter(datamodule.train_dataloader()))
    assert torch.equal(following.input_ids, batches[3].input_ids)
    assert following.step == batches[3].step
