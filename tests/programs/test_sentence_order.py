"""Pretraining with sentence order: metrics, exact resume and predictions."""

from pathlib import Path

import pytest
import torch

from clozekit.loading import load
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.train import train
from tests.programs.commands import QUIET, TINY, read_rows, train_config

ORDER = (
    *QUIET,
    *TINY,
    "global_batch_size=8",
    "micro_batch_size=4",
    "data.pair_objective=sentence_order",
    "trainer.log_every_n_steps=1",
    "max_steps=4",
)


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("order")
    every = "callbacks.checkpoints.every_n_steps=2"
    results = train(
        train_config(*ORDER, "name=whole", f"runs_dir={folder}", f"data.path={corpus}", every)
    )
    assert {"validation/sop_loss", "validation/sop_accuracy", "validation/swapped_pairs"} <= (
        results.keys()
    )
    assert not any("nsp" in name or "random" in name for name in results)
    return folder / "whole"


def test_the_metrics_are_of_sentence_order(run: Path) -> None:
    rows = read_rows(run / "metrics.csv")
    assert all(row["train/sop_loss"] for row in rows if row.get("train/loss"))
    assert not [name for name in rows[0] if "nsp" in name]


def test_a_resumed_run_is_the_same(run: Path, corpus: Path, tmp_path: Path) -> None:
    both = ("name=part", f"runs_dir={tmp_path}", f"data.path={corpus}")
    train(train_config(*ORDER, *both, "max_steps=2", "schedule=constant"))
    train(train_config(*ORDER, *both, "resume=auto", "schedule=constant"))
    whole = ("name=whole", f"runs_dir={tmp_path}", f"data.path={corpus}", "schedule=constant")
    train(train_config(*ORDER, *whole))
    expected, found = (load_checkpoint(tmp_path / name).state_dict for name in ("whole", "part"))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_prediction_is_of_the_order(run: Path) -> None:
    (prediction,) = load(run).predict([("the old horse feeds", "the [MASK] .")])
    assert 0 < prediction["in_order"] < 1
    assert "follows" not in prediction
    assert len(prediction["words"]) == 1
