"""Fine-tuning and prediction: from a checkpoint and from nothing, and what is refused."""

import json
import math
import os
from pathlib import Path

import pytest
import torch
import yaml

from clozekit.config.predict import PredictConfig
from clozekit.errors import ConfigError, DataError
from clozekit.predict import predict
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.train import train
from tests.programs.commands import QUIET, TINY, read_rows, run_clozekit, train_config
from tests.programs.texts import (
    TOPICS,
    write_labelled,
    write_labelled_pairs,
)

FINE_TUNING = (
    "task=classification",
    "data=classification",
    "data.max_seq_length=48",
    "global_batch_size=16",
    "micro_batch_size=16",
    "optimizer.lr=5e-3",
)


@pytest.fixture(scope="module")
def fine_tuned(reference_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that the command fine-tuned from the reference run."""
    folder = tmp_path_factory.mktemp("fine_tuned")
    for split, (number, seed) in {"train": (400, 1), "val": (50, 2), "test": (50, 3)}.items():
        write_labelled(folder / f"{split}.csv", number, seed)
    finished = run_clozekit(
        "train",
        "name=topics",
        *FINE_TUNING,
        f"encoder.pretrained={reference_run}",
        "data.train=train.csv",
        "data.validation=val.csv",
        "data.test=test.csv",
        "max_epochs=4",
        "validate_every_n_steps=40",
        "logger.wandb=null",
        cwd=folder,
        # As on a cluster, where every program finds Slurm's commands.
        more={"PATH": f"{with_srun(folder)}{os.pathsep}{os.environ['PATH']}"},
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return folder / "runs" / "topics"


def with_srun(folder: Path) -> Path:
    """A folder with a command `srun`."""
    command = folder / "bin" / "srun"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    return command.parent


@pytest.mark.slow
def test_topics_are_learnt(fine_tuned: Path) -> None:
    results = json.loads((fine_tuned / "results.json").read_text())
    assert results["step"] == math.ceil(4 * 400 / 16)
    for split in ("validation", "test"):
        assert results[f"{split}/accuracy"] > 0.9
        assert results[f"{split}/f1_macro"] > 0.9
        assert results[f"{split}/matthews_correlation"] > 0.85


@pytest.mark.slow
def test_sizes_and_tokenizer_come_from_the_pretrained_encoder(
    fine_tuned: Path, reference_run: Path
) -> None:
    before, after = load_checkpoint(reference_run), load_checkpoint(fine_tuned)
    assert after.tokenizer_json == before.tokenizer_json
    assert after.config["encoder"]["hidden_size"] == 32
    assert after.config["encoder"] | {"pretrained": None} == before.config["encoder"]
    assert after.label_names == sorted(TOPICS)


@pytest.mark.slow
def test_the_best_checkpoint_is_what_is_judged(fine_tuned: Path) -> None:
    results = json.loads((fine_tuned / "results.json").read_text())
    rows = [row for row in read_rows(fine_tuned / "metrics.csv") if row["validation/accuracy"]]
    assert [int(row["step"]) for row in rows] == [40, 80]
    best = max(rows, key=lambda row: float(row["validation/accuracy"]))
    assert results["validation/accuracy"] == pytest.approx(float(best["validation/accuracy"]))
    assert load_checkpoint(fine_tuned).step == int(best["step"])


@pytest.mark.slow
def test_the_test_split_stands_in_the_history_once(fine_tuned: Path) -> None:
    results = json.loads((fine_tuned / "results.json").read_text())
    (row,) = [row for row in read_rows(fine_tuned / "metrics.csv") if row["test/loss"]]
    assert int(row["step"]) == results["step"]
    assert float(row["test/loss"]) == pytest.approx(results["test/loss"])


def test_training_from_nothing_needs_a_tokenizer_alone(corpus: Path, tmp_path: Path) -> None:
    config = train_config(
        "name=pairs",
        f"runs_dir={tmp_path}",
        *FINE_TUNING,
        *TINY,
        *QUIET,
        f"data.train={write_labelled_pairs(tmp_path / 'pairs.csv', 60)}",
        "data.text_pair_column=second",
        f"data.tokenizer={corpus / 'tokenizer.json'}",
        "data.validation_fraction=0.2",
        "max_steps=3",
    )
    results = train(config)
    assert results.keys() == {
        f"validation/{name}"
        for name in ("loss", "accuracy", "f1", "f1_macro", "matthews_correlation")
    }
    checkpoint = load_checkpoint(tmp_path / "pairs")
    assert checkpoint.label_names == ["other", "same"]
    assert checkpoint.tokenizer_json == (tmp_path / "pairs" / "tokenizer.json").read_text()
    assert (
        yaml.safe_load((tmp_path / "pairs" / "config.yaml").read_text())["encoder"]["pretrained"]
        is None
    )


def test_the_written_configuration_has_the_encoder_that_is_trained(
    reference_run: Path, tmp_path: Path
) -> None:
    given = (
        *("name=topics", f"runs_dir={tmp_path}", *FINE_TUNING, *QUIET),
        f"encoder.pretrained={reference_run}",
        f"data.train={write_labelled(tmp_path / 'topics.csv', 40, 1)}",
        "data.validation_fraction=0.5",
    )
    train(train_config(*given, "max_steps=1"))
    file = tmp_path / "topics" / "config.yaml"
    written = yaml.safe_load(file.read_text())
    assert written["encoder"] == load_checkpoint(tmp_path / "topics").config["encoder"]
    assert written["encoder"]["hidden_size"] == 32
    # A folder from before has the sizes that the weights were not of; it is resumed all the same.
    written["encoder"] |= {"hidden_size": 128, "vocab_size": None}
    file.write_text(yaml.safe_dump(written))
    train(train_config(*given, "max_steps=2", "resume=auto"))
    assert yaml.safe_load(file.read_text())["encoder"]["hidden_size"] == 32


def predicted(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, text: str, **more: object
) -> str:
    capsys.readouterr()
    predict(PredictConfig.model_validate({"checkpoint": str(checkpoint), "text": text, **more}))
    return capsys.readouterr().out


def test_words_are_filled_in(reference_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = predicted(capsys, reference_run, "the old [MASK] feeds [MASK] cow .", top_k=3)
    lines = shown.splitlines()
    assert lines[0] == "the old [MASK] feeds [MASK] cow ."
    assert len(lines) == 3
    for line in lines[1:]:
        assert line.startswith("  [MASK]: ")
        words, probabilities = zip(
            *(part.rsplit(" ", 1) for part in line.split(": ")[1].split(", ")), strict=True
        )
        assert len(set(words)) == 3
        values = [float(p) for p in probabilities]
        assert values == sorted(values, reverse=True) and 0 < sum(values) <= 1.001
    assert lines[2].startswith("  [MASK]: the "), "nothing but an article stands there"


def test_a_second_text_is_judged(reference_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = predicted(capsys, reference_run, "the old horse", text_pair="feeds the [MASK]")
    first, words, follows = shown.splitlines()
    assert first == "the old horse | feeds the [MASK]"
    assert words.startswith("  [MASK]: ")
    assert 0 <= float(follows.removeprefix("  the second text follows the first: ")) <= 1


@pytest.mark.slow
def test_a_text_is_classified(fine_tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for topic, text in {
        "farm": "the old horse feeds the cow .",
        "sea": "the bright sailor sails the ship .",
    }.items():
        shown = predicted(capsys, fine_tuned, text)
        assert shown.startswith(f"{text}\n  {topic} 0.")
        parts = shown.splitlines()[1].strip().split(", ")
        assert {part.split()[0] for part in parts} == set(TOPICS)
        assert sum(float(part.split()[1]) for part in parts) == pytest.approx(1, abs=0.005)
    assert predicted(capsys, fine_tuned, "a horse", text_pair="a cow").startswith("a horse | a cow")


def test_what_cannot_be_predicted_is_told(
    reference_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r"needs a \[MASK\] in it, or a text_pair"):
        predicted(capsys, reference_run, "nothing is missing")
    with pytest.raises(DataError, match=r"config\.json does not exist"):
        predicted(capsys, tmp_path, "a [MASK]")
    with pytest.raises(ConfigError, match=r"102 tokens.* more than .*max_position_embeddings=64"):
        predicted(capsys, reference_run, "[MASK] " * 100)


def test_a_long_text_stays_on_its_line(
    reference_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "the old horse feeds " * 8 + "the [MASK] ."
    shown = predicted(capsys, reference_run, text, top_k=40)
    assert shown.splitlines()[0] == text and shown.count("\n") == 2


def test_a_users_own_task_that_is_not_here_is_told(
    reference_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(load_checkpoint(reference_run).path, weights_only=True)
    content["clozekit"]["config"]["task"]["_target_"] = "mine.Task"
    torch.save(content, tmp_path / "mine.ckpt")
    with pytest.raises(
        ConfigError, match=r"names task._target_=mine\.Task, .* trusted_modules=\[mine\]$"
    ):
        predicted(capsys, tmp_path / "mine.ckpt", "a [MASK]")
