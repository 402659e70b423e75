"""Labelled files for classification: which rows are held out, and what is refused."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from clozekit.data.labelled.classification import ClassificationDataModule
from clozekit.errors import ConfigError, DataError
from tests.programs.texts import (
    make_sentence,
    write_csv,
    write_labelled,
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
