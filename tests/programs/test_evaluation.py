"""`clozekit evaluate`: the labels of the model decide, and results do not depend on pictures."""

import csv
import json
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from clozekit.config.evaluate import EvaluateConfig
from clozekit.errors import ConfigError, DataError
from clozekit.evaluate import evaluate
from clozekit.inference import evaluation_files
from clozekit.train import train
from tests.data.spelling import spelling_tokenizer
from tests.programs.commands import QUIET, TINY, train_config

WORDS = {"a": "horse", "b": "field", "c": "café"}
ODD = (
    "cost $$",
    "$10-$99",
    "[/b] x",
    "[bold]",
    ":smile:",
    "\x1b[31mred",
    "\u202egnihton",
    "😀 中文",
)

Row = tuple[str, str, str]


def row(label: str, draw: random.Random) -> Row:
    return " ".join(draw.choices(("the", "old", WORDS[label]), k=6)) + f" {WORDS[label]}", label, ""


def write(path: Path, rows: Sequence[Row]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label", "cleaned"), *rows])
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that tells three classes apart, and its file of rows."""
    folder = tmp_path_factory.mktemp("evaluation")
    draw = random.Random(0)
    rows = [row(label, draw) for label in "abc" * 20]
    # Another column has the same labels, but for one class that is not there.
    rows = [(text, label, "" if label == "a" else label) for text, label, _ in rows]
    spelling_tokenizer().save(str(folder / "tokenizer.json"))
    train(
        train_config(
            *("name=run", f"runs_dir={folder}", "task=classification", "data=classification"),
            *(f"data.train={write(folder / 'rows.csv', rows)}", "data.validation_fraction=0.3"),
            *(f"data.tokenizer={folder / 'tokenizer.json'}", "max_steps=60", "optimizer.lr=3e-3"),
            *("global_batch_size=16", "micro_batch_size=16", *TINY, *QUIET),
        )
    )
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the run, whose file of rows may be changed; the file's path stays the same."""
    rows = trained / "rows.csv"
    before = rows.read_bytes()
    shutil.copytree(trained / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    rows.write_bytes(before)


def evaluated(out: str = "out", **config: Any) -> dict[str, Any]:
    values = {"checkpoint": "run", "out": out, "device": "cpu"} | config
    evaluate(EvaluateConfig.model_validate(values))
    found: dict[str, Any] = json.loads((Path(out) / "metrics.json").read_text())
    return found


def predictions(out: str = "out") -> tuple[list[str], list[str]]:
    lines = (Path(out) / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [row["gold"] for row in rows], [row["label"] for row in rows]


def rows_of(trained: Path) -> list[Row]:
    with (trained / "rows.csv").open(newline="") as file:
        return [tuple(row) for row in csv.reader(file)][1:]  # type: ignore[misc]


def test_a_class_that_is_gone_from_the_file_moves_no_other(
    trained: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of(trained)
    write(trained / "rows.csv", [row for row in rows if row[1] != "a"])
    values = evaluated()
    gold, predicted = predictions()
    assert set(gold) == {"b", "c"}
    assert values["metrics"]["accuracy"] == accuracy_score(gold, predicted) == 1.0
    assert values["metrics"]["loss"] < 0.5
    notes = [line for line in capsys.readouterr().out.splitlines() if "trained on" in line]
    assert len(notes) == 1 and "the training rows are not those" in notes[0]


def test_the_column_of_data_options_has_the_ids_of_the_model(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = evaluated(data_options={"label_column": "cleaned"})
    gold, predicted = predictions()
    assert set(gold) == {"b", "c"} and values["num_unlabelled"] == 20
    assert values["metrics"]["accuracy"] == accuracy_score(gold, predicted) == 1.0
    assert "20 rows without labels were left out" in capsys.readouterr().out


def test_the_own_rows_are_evaluated_without_a_note(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained_metrics = json.loads((folder / "run" / "results.json").read_text())
    values = evaluated()
    assert values["metrics"]["loss"] == pytest.approx(trained_metrics["validation/loss"], rel=1e-4)
    assert "unknown_labels" not in values
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line][-1].startswith("wrote metrics")
    assert not [line for line in lines if "label" in line or "trained" in line]


def test_a_renamed_class_of_the_own_file_counts_as_errors(
    trained: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(text, "A " if label == "a" else label, more) for text, label, more in rows_of(trained)]
    write(trained / "rows.csv", rows)
    values = evaluated()
    gold, predicted = predictions()
    assert values["unknown_labels"] == {"A ": gold.count("A ")}
    assert_scores(values, gold, predicted)
    assert f"model does not have count as errors: 'A ' ({gold.count('A ')})" in (
        capsys.readouterr().out
    )


def assert_scores(values: dict[str, Any], gold: list[str], predicted: list[str]) -> None:
    metrics = values["metrics"]
    assert metrics["accuracy"] == pytest.approx(accuracy_score(gold, predicted))
    assert metrics["f1_macro"] == pytest.approx(f1_score(gold, predicted, average="macro"))
    expected = matthews_corrcoef(gold, predicted)
    assert metrics["matthews_correlation"] == pytest.approx(expected, abs=1e-6)
    known = [label for label in gold if label in WORDS]
    assert metrics["accuracy"] <= len(known) / len(gold) + 1e-6
    assert sum(scores["support"] for scores in values["per_class"].values()) == len(gold)


def odd_file(path: Path) -> Path:
    draw = random.Random(1)
    rows = [row(label, draw) for label in "abcab"]
    longest = "long" * 75
    return write(path, [*rows, *(("the old horse", label, "") for label in (*ODD, longest, "d"))])


def test_labels_are_text_and_those_that_the_model_lacks_are_errors(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = evaluated(input=str(odd_file(folder / "[bold]$a$ x.csv")))
    gold, predicted = predictions()
    assert set(gold) == {*"abcd", *ODD, "long" * 75}
    assert values["unknown_labels"] == dict.fromkeys((*ODD, "long" * 75, "d"), 1)
    assert_scores(values, gold, predicted)
    assert {path.name for path in (folder / "out").iterdir()} == {
        *("metrics.json", "predictions.jsonl", "confusion_matrix.png", "precision_recall.png")
    }
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "\x1b" not in shown.out and "\u202e" not in shown.out
    for text in ("[bold]$a$ x.csv: 15 rows", "[/b] x", ":smile:", r"\x1b[31mred", "cost $$"):
        assert text in shown.out


def test_unknown_labels_are_refused_by_choice(folder: Path) -> None:
    path = odd_file(folder / "odd.csv")
    with pytest.raises(DataError, match=r"odd\.csv, \w+ \d: the label 'cost \$\$' does not occur"):
        evaluated(input=str(path), data_options={"on_unknown_label": "error"})
    assert not (folder / "out").exists()


def test_rows_without_any_label_of_the_model_are_refused(folder: Path) -> None:
    path = write(folder / "other.csv", [("the old horse", "0", ""), ("the cow", "1", "")])
    with pytest.raises(DataError, match=r"other\.csv: the model has none of its labels \(0, 1\); "):
        evaluated(input=str(path))


def test_a_picture_that_fails_is_one_line_after_the_results(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        assert (Path("out") / "predictions.jsonl").is_file()
        raise RuntimeError("no font\nat all")

    monkeypatch.setattr(evaluation_files, "plot_confusion", fail)
    values = evaluated()
    assert values["metrics"]["accuracy"] == 1.0
    assert {path.name for path in (folder / "out").iterdir()} == {
        *("metrics.json", "predictions.jsonl", "precision_recall.png")
    }
    error = "out/confusion_matrix.png could not be drawn (RuntimeError: no font)\n"
    assert capsys.readouterr().err == error


@pytest.mark.parametrize("place", ["best.ckpt", "moved/checkpoints/best.ckpt"])
def test_a_checkpoint_that_is_in_no_run_is_evaluated_beside_the_rest(
    place: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = folder / "far" / "away" / place
    moved.parent.mkdir(parents=True)
    shutil.copy(folder / "run" / "checkpoints" / "best.ckpt", moved)
    evaluate(EvaluateConfig.model_validate({"checkpoint": str(moved), "device": "cpu"}))
    out = folder / "evaluation-best-validation"
    assert (out / "metrics.json").is_file()
    assert f"wrote metrics, predictions and plots to {out.name}" in capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == {"run", "far", out.name}


def test_the_kind_of_labels_is_that_of_the_model(folder: Path) -> None:
    with pytest.raises(ConfigError, match="multi_label=True but the model was trained with"):
        evaluated(data_options={"multi_label": True})


def test_the_validation_of_training_counts_unknown_labels_and_tells_them(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(2)
    rows = [*(row(label, draw) for label in "abcabc"), ("the old cow", "[/new]", "")]
    results = train(
        train_config(
            *("name=odd", f"runs_dir={tmp_path}", "task=classification", "data=classification"),
            *(f"data.train={trained / 'rows.csv'}", "max_steps=1", "logger.csv=null"),
            f"data.validation={write(tmp_path / 'validation.csv', rows)}",
            *(f"data.tokenizer={trained / 'tokenizer.json'}", *TINY, *QUIET),
            *("global_batch_size=16", "micro_batch_size=16"),
        )
    )
    # One of the known classes is always predicted by so new a model.
    assert results["validation/accuracy"] <= 6 / 7
    told = " ".join(capsys.readouterr().out.split())
    assert "unknown in validation 1 gold labels" in told and "[/new] (1)" in told
