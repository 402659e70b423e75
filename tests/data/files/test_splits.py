"""Splits of data sets in folders: their files, slices and sums, and what `datasets` reads."""

import gzip
import json
import os
import pickle
import warnings
from pathlib import Path

import datasets
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from clozekit.data.files.hub import quiet_datasets
from clozekit.data.files.splits import read_split
from clozekit.data.labelled.classification import ClassificationFeatures
from clozekit.data.labelled.question_answering import QuestionAnsweringFeatures
from clozekit.errors import DataError
from tests.data.labelled.tagged_files import features_of
from tests.data.labelled.written_rows import WRITERS, datamodule, read, written
from tests.data.spelling import spelling_tokenizer

every_ending = pytest.mark.parametrize("ending", WRITERS)
PLACES = {"csv": "line 3", "tsv": "line 3", "jsonl": "line 2", "json": "item 2 (line 1)"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Splits of 14 and 3 rows, the first of them in two files."""
    path = tmp_path_factory.mktemp("set")
    for name, begin, end in (("train-0", 0, 5), ("train-1", 5, 14), ("test", 20, 23)):
        rows = "".join(f"text {number},0{number % 3}\n" for number in range(begin, end))
        (path / f"{name}.csv").write_text("text,label\n" + rows)
    return path


@pytest.mark.parametrize(
    "split",
    [
        *("train[:3]", "train[3:9]", "train[-4:]", "train[:-4]", "train[2:99]"),
        *("train[:10%]", "train[10%:40%]", "train[-25%:]", "train[33%:-33%]", "test[50%:]"),
        *("train+test", "test[1:]+train[:30%]", "train[:4]+train[:2]", "all"),
    ],
)
def test_slices_and_sums_have_the_rows_that_datasets_gives_them(split: str, folder: Path) -> None:
    with quiet_datasets():
        expected = datasets.load_dataset(str(folder), split=split)["text"]
    found = read_split(str(folder), None, split)
    assert [row["text"] for row in read(found)] == list(expected)
    assert read(pickle.loads(pickle.dumps(found))) == read(found)


def test_the_rows_of_a_slice_are_those_of_the_whole_split(folder: Path) -> None:
    whole = [row for _, row in read_split(str(folder), None, "train")]
    parts = [list(read_split(str(folder), None, f"train[{part}]")) for part in (":70%", "70%:")]
    assert [row for part in parts for _, row in part] == whole
    assert {row["label"] for row in whole} == {"00", "01", "02"}
    assert parts[1][0][0] == f"{folder} (train[70%:]), train-1.csv, line 7"


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("dev", r"has no split 'dev'; it has train, test$"),
        ("train+dev[:5]", r"has no split 'dev'; it has train, test$"),
        ("train[5", r"\(train\[5\): Unrecognized instruction format: train\[5$"),
        ("train[:120%]", r"\(train\[:120%\]\): Percent slice boundaries must be"),
        ("train[5:5]", r"\(train\[5:5\]\) has no rows$"),
        ("train[:5%](pct1_dropremainder)", "on a split with less than 100"),
    ],
)
def test_a_split_that_cannot_be_read_is_told(split: str, message: str, folder: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_split(str(folder), None, split)


@every_ending
def test_the_files_of_a_folder_are_read_like_single_files(ending: str, tmp_path: Path) -> None:
    rows = [("0001", "2.1"), ("1", "2.10"), ("2024-01-01", "NaN")]
    for number in (0, 1):
        path = Path(written(tmp_path, ending, rows))
        (tmp_path / "set").mkdir(exist_ok=True)
        path.rename(tmp_path / "set" / f"train-0000{number}-of-00002.{ending}")
    path = Path(written(tmp_path, ending, [("a", "2.1")]))
    path.rename(tmp_path / "set" / f"test.{ending}")
    found = read_split(str(tmp_path / "set"), None, "train")
    assert [tuple(row.values()) for row in read(found)] == rows * 2
    places = [place for place, _ in found]
    second = f"train-00001-of-00002.{ending}, {PLACES.get(ending, 'row 2')}"
    assert places[4] == f"{tmp_path / 'set'} (train), {second}"
    assert len(read(read_split(str(tmp_path / "set"), None, "test"))) == 1
    assert len(read(read_split(str(tmp_path / "set"), None, "train[:4]"))) == 4


def test_the_files_of_a_folder_must_have_the_same_columns(tmp_path: Path) -> None:
    (tmp_path / "train-1.csv").write_text("text,label\na,x\n")
    (tmp_path / "train-2.csv").write_text("text,klass\na,x\n")
    with pytest.raises(DataError, match=r"train-2\.csv has the columns text, klass, but .*train-1"):
        read_split(str(tmp_path), None, "train")


def test_a_data_set_in_a_folder_is_read_anew_whatever_its_time(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for text in ("old", "new"):
        path = written(tmp_path / "set", "jsonl", [(text, "x")])
        os.utime(path, (1_700_000_000, 1_700_000_000))
        for split in ("train", "train[:1]"):
            assert read(read_split(str(tmp_path / "set"), None, split))[0]["text"] == text


def test_a_data_set_names_its_classes_and_minus_one_stands_for_none(tmp_path: Path) -> None:
    names = ClassLabel(names=["zebra", "ape", "cow"])
    features = Features({"text": Value("string"), "label": names, "tags": List(names)})
    rows = {"text": ["a", "b", "c"], "label": [1, -1, 0], "tags": [[2, -1], [], [0]]}
    (tmp_path / "set").mkdir()
    Dataset.from_dict(rows, features).to_parquet(str(tmp_path / "set" / "train.parquet"))
    found = read_split(str(tmp_path / "set"), None, "train")
    assert read(found) == [
        {"text": "a", "label": "ape", "tags": ["cow", None]},
        {"text": "b", "label": None, "tags": []},
        {"text": "c", "label": "zebra", "tags": ["zebra"]},
    ]
    assert found.class_names == {"label": names.names, "tags": names.names}
    data = datamodule("train", path=str(tmp_path / "set"))
    assert data.features.label_names == ["zebra", "ape", "cow"]
    assert data.num_unlabelled["train"] == 1
    with pytest.raises(DataError, match=r"split .dev."):
        read_split(str(tmp_path / "set"), None, "dev")


def test_the_files_of_a_folder_must_declare_the_same_classes(tmp_path: Path) -> None:
    for number, names in enumerate((["x", "y"], ["y", "z"])):
        features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
        rows = Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features)
        rows.to_parquet(str(tmp_path / f"train-{number}.parquet"))
    with pytest.raises(DataError, match=r"same classes in the column 'label', .* one .* has 'x'"):
        read_split(str(tmp_path), None, "train")


def features() -> ClassificationFeatures:
    return ClassificationFeatures(spelling_tokenizer())


ROWS = "text,label\na,2.1\nb,2.10\nc,NA\nd,01\n"
LABELS = ["2.1", "2.10", "NA", "01"]


@pytest.mark.parametrize(
    ("beside", "content"),
    [
        ("train.csv.bak", "text,label\nold,2\n"),
        ("train.csv.bak", "not rows\n"),
        ("train/notes.md", "# Notes\n"),
        ("README.md", "# My reviews\n"),
        ("README.md", "---\nlicense: mit\n---\n# My reviews\nconfigs: none\n"),
        ("logs.eval", "of another program"),
        ("instruction.md", "# How to label"),
    ],
)
def test_what_stands_beside_the_rows_does_not_change_them(
    beside: str, content: str, tmp_path: Path
) -> None:
    (tmp_path / "train.csv").write_text(ROWS)
    (tmp_path / beside).parent.mkdir(exist_ok=True)
    (tmp_path / beside).write_text(content)
    assert [row["label"] for row in read(read_split(str(tmp_path), None, "train"))] == LABELS


def test_a_readme_that_describes_the_data_is_followed(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\na,1\n")
    (tmp_path / "other.csv").write_text("text,label\nb,1\nc,1\n")
    described = "configs:\n- config_name: default\n  data_files: other.csv\n"
    (tmp_path / "README.md").write_text(f"---\nlicense: mit\n{described}---\n")
    assert len(read(read_split(str(tmp_path), None, "train"))) == 2


def test_a_split_may_have_files_of_several_formats(tmp_path: Path) -> None:
    (tmp_path / "train-0.csv").write_text("text,label\na,01\n")
    (tmp_path / "train-1.jsonl").write_text('{"text": "b", "label": "c"}\n')
    (tmp_path / "test.tsv").write_text("text\tlabel\nd\t02\n")
    read_rows = {
        split: [row["label"] for row in read(read_split(str(tmp_path), None, split))]
        for split in ("train", "test", "all")
    }
    assert read_rows == {"train": ["01", "c"], "test": ["02"], "all": ["01", "c", "02"]}


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (["train/a.csv", "train.csv"], r": left out train\.csv;"),
        (["train.csv", "extra.csv"], r": left out extra\.csv;"),
        (["train.csv", "train.xml", "notes.md"], r": left out train\.xml;"),
        (
            ["train.csv", *(f"x{n}.csv" for n in range(7))],
            r"x0\.csv, .*x4\.csv and 2 more;",
        ),
    ],
)
def test_what_is_left_out_is_told(files: list[str], named: str, tmp_path: Path) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(ROWS)
    with pytest.warns(UserWarning, match=named):
        assert len(read(features().read_split(str(tmp_path), None, "train"))) == 4


def test_a_saved_dataset_has_the_rows_of_its_splits(tmp_path: Path) -> None:
    rows = Dataset.from_dict({"text": ["a", "b"], "label": ["x", "01"]})
    datasets.DatasetDict(train=rows, test=rows).save_to_disk(tmp_path / "set")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = features().read_split(str(tmp_path / "set"), None, "train")
    assert [row["label"] for row in read(found)] == ["x", "01"]


@pytest.mark.parametrize("ending", ["conll", "CONLL", "txt", "conllu.gz"])
def test_a_folder_may_have_the_formats_of_its_task(ending: str, tmp_path: Path) -> None:
    lines = "Anna B-PER\nsleeps O\n\nRome B-LOC\n"
    if ending == "conllu.gz":
        columns = "{n}\t{w}\t_\t{t}\t_\t_\t_\t_\t_\t_\n"
        lines = columns.format(n=1, w="Anna", t="PROPN") + columns.format(n=2, w="sleeps", t="VERB")
    content = lines.encode()
    path = tmp_path / f"train.{ending}"
    path.write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)
    found = features_of().read_split(str(tmp_path), None, "train")
    assert read(found)[0]["tokens"] == ["Anna", "sleeps"]


def test_a_folder_may_have_the_questions_of_squad(tmp_path: Path) -> None:
    answers = [{"text": "Rome", "answer_start": 0}]
    question = {"id": "1", "question": "Where?", "answers": answers}
    article = {"title": "a", "paragraphs": [{"context": "Rome is old.", "qas": [question]}]}
    (tmp_path / "train.json").write_text(json.dumps({"version": "1.1", "data": [article]}))
    found = QuestionAnsweringFeatures(spelling_tokenizer()).read_split(str(tmp_path), None, "train")
    assert read(found)[0]["question"] == "Where?"


def test_datasets_says_nothing_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set").mkdir()
    described = "configs:\n- config_name: default\n  data_files: train.jsonl\n"
    (tmp_path / "set" / "README.md").write_text(f"---\n{described}---\n")
    (tmp_path / "set" / "train.jsonl").write_text('{"text": "a"}\n{"text": \n')
    with pytest.raises(DataError, match="cannot be read"):
        read_split(str(tmp_path / "set"), None, "train[:1]")
    assert not caplog.records and capfd.readouterr() == ("", "")
