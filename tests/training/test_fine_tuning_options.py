"""What can be done with a pretrained encoder: stop early, freeze, begin top layers anew."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clozekit.errors import ConfigError
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.train import train
from tests.programs.commands import QUIET, read_rows, train_config
from tests.programs.texts import write_labelled

STOPPING = "callbacks=[checkpoints,progress,early_stopping]"


def run(folder: Path, reference_run: Path, name: str, *overrides: str) -> Path:
    train(
        train_config(
            f"name={name}",
            f"runs_dir={folder}",
            "task=classification",
            "data=classification",
            f"data.train={write_labelled(folder / 'rows.csv', 60)}",
            "data.max_seq_length=48",
            f"encoder.pretrained={reference_run}",
            "global_batch_size=8",
            "micro_batch_size=8",
            "max_steps=3",
            *QUIET,
            *overrides,
        )
    )
    return folder / name


def weights_of(run_folder: Path, prefix: str) -> dict[str, Tensor]:
    return load_checkpoint(run_folder / "checkpoints" / "last.ckpt").weights(prefix)


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Names what is not what it was, by more than a learning rate of nearly nothing does."""
    return {
        name for name in after if not torch.allclose(before[name], after[name], rtol=0, atol=1e-6)
    }


def test_early_stopping_ends_a_run_that_does_not_become_better(
    reference_run: Path, tmp_path: Path
) -> None:
    overrides = (
        STOPPING,
        "callbacks.early_stopping.patience=2",
        "validate_every_n_steps=2",
        "max_steps=40",
        # Nothing is learnt, so no validation is better than the first.
        "optimizer.lr=1e-20",
    )
    folder = run(tmp_path, reference_run, "stopped", *overrides)
    results = json.loads((folder / "results.json").read_text())
    assert results["step"] == 6, "the first validation and two that are not better"
    rows = [row for row in read_rows(folder / "metrics.csv") if row["validation/accuracy"]]
    assert [int(row["step"]) for row in rows] == [2, 4, 6]
    run(tmp_path, reference_run, "stopped", *overrides, "resume=auto")
    assert json.loads((folder / "results.json").read_text()) == results, "it is not trained on"


def test_early_stopping_lets_a_run_go_on_that_learns(reference_run: Path, tmp_path: Path) -> None:
    folder = run(
        tmp_path,
        reference_run,
        "learns",
        STOPPING,
        "callbacks.early_stopping.monitor=validation/loss",
        "callbacks.early_stopping.mode=min",
        "callbacks.early_stopping.patience=1",
        "validate_every_n_steps=4",
        "max_steps=12",
        "optimizer.lr=1e-3",
        # The training rows themselves, whose loss falls.
        f"data.validation={tmp_path / 'rows.csv'}",
    )
    assert json.loads((folder / "results.json").read_text())["step"] == 12


def test_a_frozen_encoder_stays_as_it_was(reference_run: Path, tmp_path: Path) -> None:
    folder = run(tmp_path, reference_run, "frozen", "fine_tuning.freeze_encoder=true")
    before = load_checkpoint(reference_run).weights("model.encoder.")
    after = weights_of(folder, "model.encoder.")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert weights_of(folder, "model.classification_head.")["classifier.bias"].abs().max() > 0


def test_top_layers_and_pooler_begin_anew(reference_run: Path, tmp_path: Path) -> None:
    before = load_checkpoint(reference_run).weights("model.encoder.")
    nothing_learnt = "optimizer.lr=1e-20"
    folder = run(tmp_path, reference_run, "top", "fine_tuning.reinit_layers=1", nothing_learnt)
    different = changed(before, weights_of(folder, "model.encoder."))
    assert different and all(name.startswith("blocks.1.") for name in different)
    folder = run(
        tmp_path, reference_run, "pooler", "fine_tuning.reinit_pooler=true", nothing_learnt
    )
    assert changed(before, weights_of(folder, "model.encoder.")) == {"pooler.weight", "pooler.bias"}


def test_more_layers_than_there_are_is_told(reference_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"reinit_layers=3 but the encoder has 2 blocks"):
        run(tmp_path, reference_run, "many", "fine_tuning.reinit_layers=3")
    assert not (tmp_path / "many").exists(), "a refused run takes no name"


def test_deeper_blocks_learn_less_with_layerwise_decay(reference_run: Path, tmp_path: Path) -> None:
    before = load_checkpoint(reference_run).weights("model.encoder.")
    folder = run(
        tmp_path,
        reference_run,
        "decayed",
        "fine_tuning.layerwise_lr_decay=0.1",
        "optimizer.lr=1e-3",
        "optimizer.weight_decay=0",
    )
    after = weights_of(folder, "model.encoder.")

    def moved(name: str) -> float:
        return float((after[name] - before[name]).abs().max())

    top, bottom = (moved(f"blocks.{i}.feed_forward.output.weight") for i in (1, 0))
    embeddings = moved("embeddings.position_embeddings.weight")
    # Adam's first steps are of the learning rate's size.
    assert bottom == pytest.approx(top / 10, rel=0.2)
    assert embeddings == pytest.approx(top / 100, rel=0.2)


def test_what_represents_a_sequence_is_kept_unless_it_is_given(
    reference_run: Path, tmp_path: Path
) -> None:
    def pooling_of(folder: Path) -> object:
        checkpoint = load_checkpoint(folder / "checkpoints" / "last.ckpt")
        return checkpoint.config["encoder"]["classifier_pooling"]

    assert pooling_of(reference_run) == "cls"
    as_before = run(tmp_path, reference_run, "as-before")
    mean = run(tmp_path, reference_run, "mean", "encoder.classifier_pooling=mean")
    kept = run(tmp_path, mean, "kept")
    back = run(tmp_path, mean, "back", "encoder.classifier_pooling=cls")
    assert [pooling_of(each) for each in (as_before, mean, kept, back)] == [
        *("cls", "mean", "mean", "cls"),
    ]
    losses = {
        json.loads((each / "results.json").read_text())["validation/loss"]
        for each in (as_before, mean)
    }
    assert len(losses) == 2
