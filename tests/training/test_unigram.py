"""The comparison of the MLM loss with the entropy of token frequencies."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from clozekit.data.pretraining.masked_lm_datamodule import MaskedLMDataModule
from clozekit.data.pretraining.unigram import unigram_entropy
from clozekit.runs.csv_history import CSVHistory
from clozekit.runs.metrics_file import read_series
from clozekit.tasks.masked_lm import MaskedLMModule
from clozekit.training.history import StepHistory
from clozekit.training.unigram import UnigramBaseline
from tests.tasks.models import small_encoder, training_arguments
from tests.tasks.training import trainer_of

MESSAGE = "has not learnt from context"


def trained(
    corpus: Path, folder: Path, steps: int, lr: float, baseline: UnigramBaseline, **options: Any
) -> Trainer:
    folder.mkdir(exist_ok=True)
    data = MaskedLMDataModule(
        path=str(corpus), seed=0, global_batch_size=16, micro_batch_size=16, max_seq_length=48
    )
    torch.manual_seed(0)
    optimizer = partial(torch.optim.AdamW, lr=lr)
    arguments = training_arguments(log_every_n_steps=2, optimizer=optimizer)
    module = MaskedLMModule(small_encoder(data.vocab_size), **arguments)
    logger = CSVHistory(str(folder / "metrics.csv"))
    trainer = trainer_of(folder, steps, logger=logger, callbacks=[StepHistory(), baseline])
    trainer.fit(module, datamodule=data, **options)
    return trainer


@contextmanager
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", MESSAGE)
        yield


def test_the_entropy_is_that_of_the_frequencies() -> None:
    tokens = np.repeat(np.arange(4, dtype=np.uint16), [4000, 2000, 1000, 1000])
    assert unigram_entropy([tokens], [1.0]) == pytest.approx(1.75 * math.log(2), abs=1e-3)
    draw = np.random.default_rng(0)
    shares = 1 / np.arange(1, 2001)
    shares /= shares.sum()
    exact = float(-(shares * np.log(shares)).sum())
    few = draw.choice(2000, 20_000, p=shares).astype(np.uint16)
    counts = np.unique(few, return_counts=True)[1] / len(few)
    plain = float(-(counts * np.log(counts)).sum())
    assert plain < exact - 0.02
    assert abs(unigram_entropy([few], [1.0]) - exact) < 0.02


def test_a_broken_rate_is_told_once(corpus: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=MESSAGE) as caught:
        trained(corpus, tmp_path, 12, 1e-6, UnigramBaseline(after_n_steps=6))
    messages = [str(w.message) for w in caught if MESSAGE in str(w.message)]
    assert len(messages) == 1
    assert "after 6 steps the MLM loss is 5." in messages[0]
    assert "optimizer.lr (now 1e-06)" in messages[0]


def test_a_run_that_learns_is_not_warned(corpus: Path, tmp_path: Path) -> None:
    baseline = UnigramBaseline(after_n_steps=4)
    baseline.entropy = 100.0  # so that it need not learn for long
    with no_warning():
        trained(corpus, tmp_path, 6, 1e-3, baseline)
    assert baseline.is_done


@pytest.mark.parametrize(
    ("max_steps", "due"),
    [(99, None), (100, 100), (600, 600), (1600, 1000), (8000, 2000), (10**6, 20_000)],
)
def test_when_the_loss_is_compared(max_steps: int, due: int | None) -> None:
    assert UnigramBaseline()._step_of_comparison(max_steps) == due
    assert UnigramBaseline(after_n_steps=7)._step_of_comparison(max_steps) == 7


def test_the_entropy_is_printed_and_logged_with_the_first_row(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline = UnigramBaseline()
    with no_warning():
        trained(corpus, tmp_path, 6, 1e-6, baseline)
    assert baseline.entropy is not None and 3 < baseline.entropy < math.log(300)
    assert f"MLM loss of {baseline.entropy:.2f}" in capsys.readouterr().out
    series = read_series(tmp_path / "metrics.csv")
    assert series["train/unigram_entropy"] == ([2], [baseline.entropy])
    assert series["train/mlm_loss"][0] == [2, 4, 6]


def test_a_continued_run_compares_the_same_losses(corpus: Path, tmp_path: Path) -> None:
    whole, first = UnigramBaseline(after_n_steps=6), UnigramBaseline(after_n_steps=6)
    with pytest.warns(UserWarning, match=MESSAGE) as expected:
        trained(corpus, tmp_path / "whole", 8, 1e-6, whole)
    with no_warning():
        trainer = trained(corpus, tmp_path / "first", 4, 1e-6, first)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    second = UnigramBaseline(after_n_steps=6)
    resumed = {"ckpt_path": tmp_path / "a.ckpt", "weights_only": True}
    with pytest.warns(UserWarning, match=MESSAGE) as caught:
        trained(corpus, tmp_path / "second", 8, 1e-6, second, **resumed)
    texts = [
        [str(w.message) for w in each if MESSAGE in str(w.message)] for each in (expected, caught)
    ]
    assert texts[0] == texts[1] and len(texts[0]) == 1
    assert second.state_dict() == whole.state_dict()
