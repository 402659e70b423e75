"""Rows from files: what every format gives, which rows have no label, and what is refused."""

import bz2
import gzip
import lzma
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from clozekit.data.files.rows import read_file
from clozekit.data.files.squad import read_squad
from clozekit.data.labelled.regression import RegressionDataModule
from clozekit.errors import DataError
from tests.data.labelled.written_rows import COLUMNS, WRITERS, datamodule, read, written

every_ending = pytest.mark.parametrize("ending", WRITERS)


def zst(content: bytes) -> bytes:
    return pa.compress(content, "zstd", asbytes=True)  # type: ignore[no-any-return]


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zst,
}
PLACES = {"csv": "line 3", "tsv": "line 3", "jsonl": "line 2", "json": "item 2 (line 1)"}
ROWS = [("Café, \"large\"; 'old'", "farm"), ("None", "sea"), ("北京", "None"), ("nan", "NA")]


@every_ending
def test_every_format_gives_the_same_rows(ending: str, tmp_path: Path) -> None:
    found = read_file(written(tmp_path, ending, ROWS))
    assert list(found.columns) == list(COLUMNS)
    assert [tuple(row.values()) for row in read(found)] == ROWS
    assert [name for name, _ in found][1] == f"{found.name}, {PLACES.get(ending, 'row 2')}"
    assert read(pickle.loads(pickle.dumps(found))) == read(found), "another process may read them"


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json"])
def test_text_may_be_compressed(ending: str, compression: str, tmp_path: Path) -> None:
    path = Path(written(tmp_path, ending, ROWS))
    packed = path.with_name(path.name + compression.upper())
    packed.write_bytes(COMPRESSIONS[compression](path.read_bytes()))
    assert read(read_file(str(packed))) == read(read_file(str(path)))
    packed.write_bytes(packed.read_bytes()[:-12])
    with pytest.raises(DataError, match=f"cannot be read as {compression}: "):
        read(read_file(str(packed)))


@every_ending
def test_cells_are_not_turned_into_numbers_or_dates(ending: str, tmp_path: Path) -> None:
    texts = ["0001", "1", "1.0", "2.10", "1E2", "true", "NaN", "2024-01-01", " a ", "-0", "10_0"]
    rows = [(text, label) for text, label in zip(texts, reversed(texts), strict=True)]
    found = read(read_file(written(tmp_path, ending, rows)))
    assert [(row["text"], row["label"]) for row in found] == rows
    data = datamodule(written(tmp_path, ending, rows), id_column="text")
    assert data.features.label_names == sorted(texts)
    examples = data.sources["train"].rows.examples  # type: ignore[attr-defined]
    assert [example.id for example in examples] == texts


@every_ending
def test_what_is_in_the_file_is_read_whatever_its_time(ending: str, tmp_path: Path) -> None:
    for text in ("old", "new"):
        path = written(tmp_path, ending, [(text, "x")])
        os.utime(path, (1_700_000_000, 1_700_000_000))
        assert read(read_file(path))[0]["text"] == text


@every_ending
def test_rows_without_a_label_are_left_out_and_counted(ending: str, tmp_path: Path) -> None:
    rows = [("a", "x"), ("b", None), ("c", "y"), ("d", ""), ("e", "x")]
    data = datamodule(written(tmp_path, ending, rows))
    assert data.num_unlabelled == {"train": 2, "validation": 2}
    assert [example.text for example in data.sources["train"].rows.examples] == ["a", "c", "e"]  # type: ignore[attr-defined]
    assert data.facts()["rows"] == (
        "3 in train (0 truncated, 2 without labels skipped), "
        "3 in validation (0 truncated, 2 without labels skipped)"
    )
    assert data.facts()["labels"] == "x, y"


@every_ending
def test_empty_texts_are_counted_or_refused(ending: str, tmp_path: Path) -> None:
    path = written(tmp_path, ending, [("a", "x"), ("", "x"), (None, "y"), (" ", "y"), ("b", "y")])
    data = datamodule(path)
    assert data.num_empty == {"train": 3, "validation": 3}
    assert data.facts()["rows"].startswith("5 in train (0 truncated, 3 with empty text), ")
    assert [example.text for example in data.sources["train"].rows.examples][1:3] == ["", ""]  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"rows\.\w+, \D+[23]\D.*text is empty, and data\.allow"):
        datamodule(path, allow_empty_text=False)


@every_ending
def test_whole_numbers_are_classes_of_the_same_name_in_every_format(
    ending: str, tmp_path: Path
) -> None:
    rows = [("a", 1), ("b", None), ("c", 0), ("d", 10), ("e", 2), ("f", -100)]
    data = datamodule(written(tmp_path, ending, rows))
    assert data.features.label_names == ["-100", "0", "1", "2", "10"]
    assert data.num_unlabelled["train"] == 1


@every_ending
def test_a_score_is_missing_where_the_cell_is_empty_alone(ending: str, tmp_path: Path) -> None:
    rows = [("a", 1.5), ("c", -100.0), ("d", None), ("e", 2.0), ("f", 0.0)]
    path = written(tmp_path, ending, rows)
    data = datamodule(path, RegressionDataModule, score_column="label")
    assert [e.score for e in data.sources["train"].rows.examples] == [1.5, -100, 2, 0]  # type: ignore[attr-defined]
    assert data.num_unlabelled["train"] == 1
    assert "labels" not in data.facts()
    path = written(tmp_path, ending, [("a", 1.5), ("b", float("nan"))])
    with pytest.raises(DataError, match=r"label is '?nan'? but must be a number"):
        datamodule(path, RegressionDataModule, score_column="label")


def test_a_path_may_have_the_signs_of_a_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "run[1]*"
    folder.mkdir()
    assert len(read(read_file(written(folder, "csv", [("a", "x")])))) == 1


REFUSED: dict[str, tuple[str, bytes, str]] = {
    "another format": ("a.xml", b"<a/>", "must end in one of .csv, .tsv, .json"),
    "compressed Parquet": ("a.parquet.gz", b"", "those of text (.csv, .tsv, .json, .jsonl) may be"),
    "no gzip": ("a.csv.gz", b"text,label\na,x\n", "cannot be read as .gz: Not a gzipped file"),
    "no bzip2": ("a.csv.bz2", b"text,label\na,x\n", "cannot be read as .bz2: Invalid data"),
    "no xz": ("a.csv.xz", b"text,label\na,x\n", "cannot be read as .xz: "),
    "no zstandard": ("a.csv.zst", b"text,label\na,x\n", "cannot be read as .zst: "),
    "broken gzip": ("a.csv.gz", gzip.compress(b"a" * 999)[:15] + b"\xff" * 20, "read as .gz: "),
}


@pytest.mark.parametrize(("name", "content", "message"), REFUSED.values(), ids=list(REFUSED))
def test_a_file_that_cannot_be_read_is_told_in_one_line(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(read_file(str(path)))
    assert str(path) in str(caught.value) and message in str(caught.value)
    assert "\n" not in str(caught.value).strip("\n")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    for reader, name in ((read_file, "a.csv"), (read_file, "a.parquet"), (read_squad, "a.json")):
        with pytest.raises(DataError, match="does not exist"):
            reader(str(tmp_path / name))
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(DataError, match="is not a file"):
        read_file(str(tmp_path / "b.csv"))


def test_two_classes_are_needed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.csv has 1 different labels \(x\)"):
        datamodule(written(tmp_path, "csv", [("a", "x"), ("b", "x")]))


def test_a_column_that_is_not_there_and_rows_without_any_label_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, "csv", [("a", ""), ("b", "")])
    with pytest.raises(DataError, match="has no column 'sentence'; it has text, label"):
        datamodule(path, text_column="sentence")
    with pytest.raises(DataError, match="all 2 rows are without labels in label"):
        datamodule(path)
