"""What a run leaves in its folder."""

import json
import math
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from clozekit import __version__
from clozekit.config.train import TrainConfig
from clozekit.corpus.manifest import Corpus
from clozekit.runs.checkpoint_file import META_KEY, load_checkpoint
from tests.programs.commands import read_rows

pytestmark = pytest.mark.slow

TRAIN_METRICS = {
    "loss",
    "mlm_loss",
    "nsp_loss",
    "mlm_accuracy",
    "nsp_accuracy",
    "perplexity",
    "random_pairs",
    "grad_norm",
    "learning_rate",
    "tokens_per_second",
    "flops_per_second",
    "unigram_entropy",
    "checkpoint_seconds",
    "checkpoint_share",
    "epoch",
}
VALIDATION_METRICS = {
    "loss",
    "mlm_loss",
    "nsp_loss",
    "mlm_accuracy",
    "nsp_accuracy",
    "perplexity",
    "random_pairs",
}


def test_the_configuration_is_whole_and_gives_the_same_run_again(
    reference_run: Path, corpus: Path
) -> None:
    values = yaml.safe_load((reference_run / "config.yaml").read_text())
    assert "${" not in (reference_run / "config.yaml").read_text()
    config = TrainConfig.model_validate(values)
    assert config.max_steps == 100
    assert config.encoder.hidden_size == 32
    assert (config.data.model_extra or {})["path"] == str(corpus)
    with initialize_config_dir(str(reference_run), version_base="1.3"):
        composed = OmegaConf.to_container(compose("config"), resolve=True, throw_on_missing=True)
    assert TrainConfig.model_validate(composed) == config


def test_the_record_names_the_code_and_the_command(reference_run: Path) -> None:
    record = json.loads((reference_run / "run.json").read_text())
    assert record["clozekit"] == __version__
    assert record["packages"]["torch"] == torch.__version__
    assert None not in record["packages"].values()
    assert " train name=reference " in record["command"]
    assert "optimizer.lr=3e-3" in record["command"]
    assert len(record["commit"].removesuffix("-dirty")) == 40


def test_every_logged_step_stands_once_in_the_history(reference_run: Path) -> None:
    rows = read_rows(reference_run / "metrics.csv")
    steps = {
        split: [int(row["step"]) for row in rows if row[f"{split}/loss"]]
        for split in ("train", "validation")
    }
    assert steps == {"train": list(range(10, 101, 10)), "validation": [40, 80, 100]}
    assert max(Counter(row["step"] for row in rows).values()) <= 2


def test_the_history_has_the_metrics_of_both_splits(reference_run: Path) -> None:
    header = (reference_run / "metrics.csv").read_text().splitlines()[0]
    expected = {f"train/{name}" for name in TRAIN_METRICS}
    expected |= {f"validation/{name}" for name in VALIDATION_METRICS}
    assert set(header.split(",")) == expected | {"step", "epoch"}


def test_the_total_loss_is_the_sum_of_both(reference_run: Path) -> None:
    for row in read_rows(reference_run / "metrics.csv"):
        split = "train" if row["train/loss"] else "validation"
        mlm, nsp = float(row[f"{split}/mlm_loss"]), float(row[f"{split}/nsp_loss"])
        assert float(row[f"{split}/loss"]) == pytest.approx(mlm + nsp, rel=1e-6)
        assert float(row[f"{split}/perplexity"]) == pytest.approx(math.exp(mlm), rel=1e-5)


def test_the_run_learnt_to_fill_in_words(reference_run: Path, corpus: Path) -> None:
    results = json.loads((reference_run / "results.json").read_text())
    vocab_size = Corpus.open(corpus).manifest.vocab_size
    assert results["step"] == 100
    assert results["validation/mlm_loss"] < math.log(vocab_size) - 1.5
    assert results["validation/mlm_accuracy"] > 0.2
    last = read_rows(reference_run / "metrics.csv")[-1]
    assert float(last["validation/loss"]) == pytest.approx(results["validation/loss"])
    assert set(results) == {"step"} | {f"validation/{name}" for name in VALIDATION_METRICS}


def test_both_checkpoints_are_plain_and_whole(reference_run: Path, corpus: Path) -> None:
    for name, steps in (("best", {40, 80}), ("last", {100})):
        file = reference_run / "checkpoints" / f"{name}.ckpt"
        content = torch.load(file, weights_only=True)
        assert content["global_step"] in steps
        assert content[META_KEY]["data_hash"] == Corpus.open(corpus).hash
        checkpoint = load_checkpoint(file)
        assert checkpoint.config["encoder"]["vocab_size"] == checkpoint.tokenizer.get_vocab_size()
        assert checkpoint.tokenizer_json == (reference_run / "tokenizer.json").read_text()
        assert all(torch.isfinite(value).all() for value in checkpoint.state_dict.values())
    best = load_checkpoint(reference_run / "checkpoints" / "best.ckpt")
    names = {path.name for path in (reference_run / "checkpoints").iterdir()}
    assert names == {"best.ckpt", "last.ckpt", f"step-{best.step}.ckpt"}


def test_curves_are_a_picture(reference_run: Path) -> None:
    content = (reference_run / "curves.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n") and content.rstrip(b"\0")[-8:-4] == b"IEND"
    width, height = (int.from_bytes(content[place : place + 4]) for place in (16, 20))
    assert width > 600 and height > 400


def test_an_offline_record_of_wandb_lies_in_the_folder(reference_run: Path) -> None:
    (record,) = (reference_run / "wandb").glob("offline-run-*/run-*.wandb")
    assert record.stat().st_size > 1_000


def test_nothing_else_is_left_in_the_folder(reference_run: Path) -> None:
    assert {path.name for path in reference_run.iterdir()} == {
        ".run.lock",
        "checkpoints",
        "config.yaml",
        "curves.png",
        "metrics.csv",
        "results.json",
        "run.json",
        "tokenizer.json",
        "wandb",
    }
    assert {path.name for path in reference_run.parents[1].iterdir()} == {"runs"}
