"""The rows of the history: means over global batches, once a step that is due."""

from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch.nn import functional as F  # noqa: N812

from clozekit.data.batch import PretrainingBatch
from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule
from clozekit.models.flops import masked_lm_flops
from clozekit.runs.csv_history import CSVHistory
from clozekit.runs.metrics_file import read_rows
from clozekit.tasks.pretraining import PretrainingModule
from clozekit.training.flops import FlopRate, step_flops
from clozekit.training.history import StepHistory
from tests.tasks.models import small_encoder, training_arguments
from tests.tasks.training import trainer_of


def datamodule_of(corpus: Path, micro_batch_size: int = 4) -> PretrainingDataModule:
    return PretrainingDataModule(
        path=str(corpus),
        seed=0,
        global_batch_size=8,
        micro_batch_size=micro_batch_size,
        max_seq_length=48,
    )


def module_of(data: PretrainingDataModule) -> PretrainingModule:
    """A module whose steps change nothing."""
    torch.manual_seed(0)
    arguments = training_arguments(
        log_every_n_steps=2, optimizer=partial(torch.optim.AdamW, lr=0.0)
    )
    return PretrainingModule(small_encoder(data.vocab_size), **arguments)


def rows_of(
    data: PretrainingDataModule,
    folder: Path,
    steps: int,
    *callbacks: Callback,
    module: PretrainingModule | None = None,
    **options: Any,
) -> list[dict[str, float]]:
    """Trains, and gives the rows of the steps."""
    logger = CSVHistory(str(folder / "metrics.csv"))
    trainer = trainer_of(
        folder, steps, logger=logger, callbacks=[*callbacks, StepHistory()], **options
    )
    trainer.fit(module or module_of(data), datamodule=data)
    rows = read_rows(folder / "metrics.csv")
    return [
        {name: float(value) for name, value in row.items() if value}
        for row in rows
        if row["train/loss"]
    ]


def test_only_the_steps_that_are_due_have_a_row(corpus: Path, tmp_path: Path) -> None:
    rows = rows_of(datamodule_of(corpus), tmp_path, steps=5)
    assert [row["step"] for row in rows] == [2, 4]


@torch.no_grad()
def means_over(module: PretrainingModule, batch: PretrainingBatch) -> dict[str, float]:
    """The metrics of a global batch that is computed at once."""
    output = module(batch)
    mlm, nsp = output.prediction_logits, output.seq_relationship_logits
    labels, is_random = batch.masked_lm_labels, batch.next_sentence_label
    mlm_loss, nsp_loss = F.cross_entropy(mlm, labels), F.cross_entropy(nsp, is_random)
    return {
        "train/mlm_loss": float(mlm_loss),
        "train/mlm_accuracy": float((mlm.argmax(-1) == labels).float().mean()),
        "train/nsp_loss": float(nsp_loss),
        "train/nsp_accuracy": float((nsp.argmax(-1) == is_random).float().mean()),
        "train/random_pairs": float(is_random.float().mean()),
        "train/loss": float(mlm_loss + nsp_loss),
        "train/perplexity": float(mlm_loss.exp()),
    }


@pytest.mark.parametrize("micro_batch_size", [8, 4, 3])
def test_a_row_holds_the_means_over_the_global_batch_of_its_step(
    micro_batch_size: int, corpus: Path, tmp_path: Path
) -> None:
    data = datamodule_of(corpus, micro_batch_size)
    module = module_of(data)
    rows = rows_of(data, tmp_path, steps=4, module=module)
    whole = datamodule_of(corpus, 8)
    steps = list(islice(whole.train_dataloader(), 4))
    assert len(rows) == 2
    for row, step in zip(rows, steps[1::2], strict=True):
        (batch,) = step.micro_batches
        assert isinstance(batch, PretrainingBatch)
        expected = means_over(module, batch)
        expected["train/epoch"] = step.next_position.epoch
        expected["train/learning_rate"] = 0.0
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-4)
        assert row["train/grad_norm"] > 0 and row["train/tokens_per_second"] > 0
    assert rows[0]["train/mlm_loss"] != rows[1]["train/mlm_loss"]


def test_callbacks_see_what_is_logged(corpus: Path, tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []

    class Watcher(Callback):
        def on_train_end(self, trainer: Trainer, *_: Any) -> None:
            seen.append({name: float(value) for name, value in trainer.callback_metrics.items()})

    (row,) = rows_of(datamodule_of(corpus), tmp_path, 2, Watcher())
    assert {name: seen[0][name] for name in row if name != "step"} == pytest.approx(
        {name: value for name, value in row.items() if name != "step"}
    )


def test_the_speed_leaves_validation_out(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    class Clock(Callback):
        """A step takes 2 seconds, a batch of a validation 50."""

        def on_train_batch_start(self, *_: Any) -> None:
            now[0] += 2

        def on_validation_batch_start(self, *_: Any) -> None:
            now[0] += 50

    data = datamodule_of(corpus)
    (row,) = rows_of(data, tmp_path, 2, Clock(), validate_every=1, limit_val_batches=1)
    assert now[0] == 104
    num_tokens = sum(s.num_tokens for s in islice(datamodule_of(corpus).train_dataloader(), 2))
    assert row["train/tokens_per_second"] == pytest.approx(num_tokens / 4)


def test_operations_per_second_are_those_of_the_steps_between_rows(tmp_path: Path) -> None:
    rate = FlopRate(trainer_of(tmp_path, 2), num_steps=2)
    rate.add(1.0, 10)
    assert rate.metrics() == {}
    rate.add(3.0, 20)
    assert rate.metrics() == {"train/flops_per_second": 10.0}
    rate.add(3.5, 1)
    rate.add(4.0, 2)
    # The peak of a CPU is not known.
    assert rate.metrics() == {"train/flops_per_second": 3.0}


def test_every_row_has_operations_per_second(corpus: Path, tmp_path: Path) -> None:
    rows = rows_of(datamodule_of(corpus), tmp_path, 4)
    assert [row["train/flops_per_second"] > 0 for row in rows] == [True, True]
    assert all("train/mfu" not in row for row in rows)


def test_mfu_is_logged_where_the_peak_is_known(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clozekit.training.peak_flops.get_available_flops", lambda *_: 1e9)
    (row,) = rows_of(datamodule_of(corpus), tmp_path, 2)
    assert row["train/mfu"] == pytest.approx(row["train/flops_per_second"] / 1e9)


def test_a_frozen_encoder_has_no_backward(corpus: Path) -> None:
    data = datamodule_of(corpus)
    module = module_of(data)
    step = next(iter(data.train_dataloader()))
    trained = step_flops(module, step)
    module.encoder.requires_grad_(False)
    frozen = step_flops(module, step)
    head = 3 * masked_lm_flops(module.encoder.config, step.num_targets)
    assert trained is not None and frozen is not None
    assert trained - head == 3 * (frozen - head) > 0
