"""Fine-tuning and prediction: from a checkpoint and from nothing, and what is refused."""

import json
import math
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from clozekit.config.predict import PredictConfig
from clozekit.data.labelled.classification import ClassificationDataModule
from clozekit.errors import ConfigError, DataError
from clozekit.predict import predict
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.train import train
from tests.programs.commands import QUIET, TINY, read_rows, run_clozekit, train_config
from tests.programs.texts import (
    TOPICS,
    make_sentence,
    write_csv,
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


def datamodule(corpus: Path, train_file: Path, **changes: object) -> ClassificationDataModule:
    arguments = {
        "tokenizer": str(corpus / "tokenizer.json"),
        "seed": 0,
        "global_batch_size": 8,
        "micro_batch_size": 8,
    } | changes
    return ClassificationDataModule(train=str(train_file), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_rows_held_out_have_every_class_in_its_share(
    seed: int, corpus: Path, tmp_path: Path
) -> None:
    draw = random.Random(0)
    rows = [
        (make_sentence("farm", draw), "rare" if index % 10 == 0 else "common")
        for index in range(200)
    ]
    path = write_csv(tmp_path / "a.csv", ("text", "label"), rows)
    data = datamodule(corpus, path, validation_fraction=0.25, seed=seed)
    counts: dict[str, Counter[int]] = {
        split: Counter(source.rows.whole().labels.tolist())  # type: ignore[attr-defined]
        for split, source in data.sources.items()
    }
    assert data.features.label_names == ["common", "rare"]
    assert counts == {"train": {0: 135, 1: 15}, "validation": {0: 45, 1: 5}}
    again = datamodule(corpus, path, validation_fraction=0.25, seed=seed)
    other = datamodule(corpus, path, validation_fraction=0.25, seed=seed + 1)
    held_out = [held_out_ids(data), held_out_ids(again), held_out_ids(other)]
    assert held_out[0] == held_out[1] != held_out[2]


def held_out_ids(data: ClassificationDataModule) -> list[int]:
    return [token for one in data.val_dataloader() for token in one.batch.input_ids.tolist()]


def refused_label(folder: Path) -> dict[str, object]:
    test = write_csv(folder / "bad.csv", ("text", "label"), [("a", "farm"), ("b", "sky")])
    return {"test": test, "on_unknown_label": "error"}


def no_known_label(folder: Path) -> dict[str, object]:
    return {"test": write_csv(folder / "bad.csv", ("text", "label"), [("a", "sky"), ("b", "sky")])}


def missing_column(folder: Path) -> dict[str, object]:
    return {"test": write_csv(folder / "bad.csv", ("sentence", "label"), [("a", "farm")])}


def no_rows(folder: Path) -> dict[str, object]:
    return {"test": write_csv(folder / "bad.csv", ("text", "label"), [])}


def nothing_at_all(folder: Path) -> dict[str, object]:
    (folder / "bad.csv").write_bytes(b"")
    return {"test": folder / "bad.csv"}


def lacking_text(folder: Path) -> dict[str, object]:
    (folder / "bad.jsonl").write_text('{"text": "a", "label": "farm"}\n\n{"label": "farm"}\n')
    return {"test": folder / "bad.jsonl"}


def no_label(folder: Path) -> dict[str, object]:
    return {"test": write_csv(folder / "bad.csv", ("text", "label"), [("a", ""), ("b", "")])}


def number_for_a_text(folder: Path) -> dict[str, object]:
    (folder / "bad.jsonl").write_text('{"text": 7, "label": "farm"}\n')
    return {"test": folder / "bad.jsonl"}


def broken_json(folder: Path) -> dict[str, object]:
    (folder / "bad.jsonl").write_text('{"text": "a", "label": "farm"}\n{"text": "b", "la\n')
    return {"test": folder / "bad.jsonl"}


def unknown_ending(folder: Path) -> dict[str, object]:
    (folder / "bad.xml").write_text("<a/>")
    return {"test": folder / "bad.xml"}


def no_share(folder: Path) -> dict[str, object]:
    return {"validation_fraction": 0.001}


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (refused_label, ["bad.csv, line 3: the label 'sky'", "farm, kitchen, school, sea"]),
        (no_known_label, ["bad.csv: the model has none of its labels (sky); it has farm, kitchen"]),
        (missing_column, ["bad.csv has no column 'text'; it has sentence, label"]),
        (no_rows, ["bad.csv has no rows"]),
        (nothing_at_all, ["bad.csv"]),
        (lacking_text, ["bad.jsonl, line 3: there is no 'text'; the row has label"]),
        (no_label, ["bad.csv: all 2 rows are without labels in label"]),
        (number_for_a_text, ["bad.jsonl, line 1: text is 7 but must be text"]),
        (broken_json, ["bad.jsonl"]),
        (unknown_ending, ["bad.xml must end in one of .csv, .tsv"]),
        (no_share, ["validation_fraction=0.001 of 40 rows"]),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_sentence(
    spoil: Callable[[Path], dict[str, object]], parts: list[str], corpus: Path, tmp_path: Path
) -> None:
    changes = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in spoil(tmp_path).items()
    }
    with pytest.raises(DataError) as caught:
        datamodule(corpus, write_labelled(tmp_path / "train.csv", 40), **changes)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_no_tokenizer_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.tokenizer is null; .* encoder\.pretrained"):
        datamodule(tmp_path, write_labelled(tmp_path / "train.csv", 40), tokenizer=None)


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
