"""Rows from files: what each format gives, which labels are missing, and what is refused."""

import gzip
import json
import math
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from hypothesis import given
from hypothesis import strategies as st

from clozekit.data.files.row_files import read_row_file
from clozekit.data.files.rows import (
    as_name,
    is_missing,
    ordered_names,
    read_file,
    read_split,
)
from clozekit.data.files.squad import read_squad
from clozekit.data.labelled.regression import RegressionDataModule
from clozekit.errors import DataError
from tests.data.labelled.written_rows import COLUMNS, WRITERS, datamodule, read, write_csv, written

every_ending = pytest.mark.parametrize("ending", WRITERS)


# Parquet is compressed already.
@pytest.mark.parametrize(
    ("ending", "gzipped"),
    [(e, z) for e in WRITERS for z in (False, True) if not (z and e == "parquet")],
)
def test_every_format_gives_the_same_rows(ending: str, gzipped: bool, tmp_path: Path) -> None:
    rows = [("Café, \"large\"; 'old'", "farm"), ("None", "sea"), ("北京", "None"), ("nan", "NA")]
    found = read_file(written(tmp_path, ending, rows, gzipped))
    assert list(found.columns) == list(COLUMNS)
    assert [tuple(row.values()) for row in read(found)] == rows
    assert [name for name, _ in found][1].endswith(", row 2")


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
def test_whole_numbers_are_named_alike_though_missing_ones_make_them_floats(
    ending: str, tmp_path: Path
) -> None:
    rows = [("a", 1), ("b", None), ("c", 0), ("d", 10), ("e", 2), ("f", -100)]
    data = datamodule(written(tmp_path, ending, rows))
    assert data.features.label_names == ["0", "1", "2", "10"]
    assert data.num_unlabelled["train"] == 2
    assert data.sources["train"].rows.whole().labels.tolist() == [1, 0, 3, 2]  # type: ignore[attr-defined]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_what_is_no_number_is_no_score(ending: str, tmp_path: Path) -> None:
    rows = [("a", 1.5), ("b", math.nan), ("c", -100.0), ("d", None), ("e", 2), ("f", 0.0)]
    path = written(tmp_path, ending, rows)
    data = datamodule(path, RegressionDataModule, score_column="label")
    assert data.sources["train"].rows.whole().scores.tolist() == [1.5, 2, 0]  # type: ignore[attr-defined]
    assert data.num_unlabelled["train"] == 3
    assert "labels" not in data.facts()


@pytest.mark.parametrize(
    ("value", "missing"),
    [
        (None, True),
        ("", True),
        ("NaN", True),
        ("-100", True),
        (-100, True),
        (-100.0, True),
        (math.nan, True),
        ("None", False),
        ("nan", False),  # the language Min Nan
        (0, False),
        (0.0, False),
        (False, False),
        ([], False),
    ],
)
def test_which_labels_are_missing(value: object, missing: bool) -> None:
    assert is_missing(value) == missing


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        ({"b", "a"}, ["a", "b"]),
        ({"10", "9", "-1"}, ["-1", "9", "10"]),
        ({"10", "9", "x"}, ["10", "9", "x"]),
        ({"1", "01", "0"}, ["0", "01", "1"]),
        ({"--1", "1"}, ["--1", "1"]),
        ({"-", "1"}, ["-", "1"]),
    ],
)
def test_classes_are_ordered_by_value_where_all_are_numbers(
    names: set[str], ordered: list[str]
) -> None:
    assert ordered_names(names) == ordered


@given(st.integers(-(2**50), 2**50))
def test_a_whole_number_has_one_name(number: int) -> None:
    assert as_name(float(number)) == as_name(number) == as_name(str(number)) == str(number)


def test_a_column_has_one_type_however_late_another_value_comes(tmp_path: Path) -> None:
    """`datasets` reads files piece by piece, and takes the types from the first of them."""
    path = tmp_path / "rows.csv"  # by 10,000 rows
    write_csv(path, [("a", "", 0)] * 10_000 + [("b", "c", 0.5)], ("text", "pair", "label"))
    expected = {"text": "b", "pair": "c", "label": 0.5}
    assert read(read_file(str(path)))[-1] == expected
    path = tmp_path / "rows.jsonl"  # by 10 MiB
    rows = [{"text": "a" * 2**20, "pair": None, "label": 0}] * 11 + [expected]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    assert read(read_file(str(path)))[-1] == expected


def test_text_in_a_tsv_file_may_begin_with_a_quotation_mark(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('text\tlabel\n"Go\tx\nhe said "no"\ty\n')
    assert read(read_file(str(tmp_path / "a.tsv"))) == [
        {"text": '"Go', "label": "x"},
        {"text": 'he said "no"', "label": "y"},
    ]


def test_a_path_may_have_the_signs_of_a_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "run[1]*"
    folder.mkdir()
    assert len(read(read_file(written(folder, "csv", [("a", "x")])))) == 1


def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path: Path) -> None:
    for name, content in {"a.csv": "text,label\na,x\n", "a.jsonl": '{"text": "a"}\n'}.items():
        (tmp_path / name).write_text(content, encoding="utf-8-sig")
        assert read_file(str(tmp_path / name)).columns[0] == "text"


def cut_off(content: bytes) -> bytes:
    noise = bytes(range(256)) * 4
    return gzip.compress(content + noise)[:200]


REFUSED: dict[str, tuple[str, bytes, str]] = {
    "no rows": ("a.csv", b"text,label\n", "has no rows"),
    "no JSON rows": ("a.json", b"[]", "has no rows"),
    "nothing at all": ("a.csv", b"", "cannot be read as csv: No columns"),
    "nothing at all, JSONL": ("a.jsonl", b"", "has no rows"),
    "nothing at all, gzipped": ("a.jsonl.gz", gzip.compress(b""), "has no rows"),
    "a first row too long": (
        "a.csv",
        b"text,label\ngood, bad,x\nfine,y\n",
        "the first row has more columns than the header",
    ),
    "a later row too long": ("a.csv", b"text,label\nfine,y\na,b,x\n", "line 3, saw 3"),
    "an open quotation": ("a.csv", b'text,label\n"a,x\nb,y\n', "EOF inside string"),
    "broken JSON": ("a.jsonl", b'{"text": "a"}\n{"text": "b\n', "cannot be read as json"),
    "another encoding": ("a.csv", "text,label\né,x\n".encode("latin-1"), "can't decode byte"),
    "another encoding, JSON": ("a.jsonl", '{"text": "é"}\n'.encode("latin-1"), "not UTF-8"),
    "gzip cut off": ("a.csv.gz", cut_off(b"text,label\n"), "end-of-stream"),
    "gzip cut off, JSONL": ("a.jsonl.gz", cut_off(b'{"text": "a"}\n'), "end-of-stream"),
    "no gzip": ("a.csv.gz", b"text,label\na,x\n", "Not a gzipped file"),
    "no Parquet": ("a.parquet", b"PAR1", "smaller than the minimum"),
    "another format": ("a.xml", b"<a/>", "must end in one of .csv, .tsv, .json"),
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
    for reader in (read_file, read_squad, lambda path: list(read_row_file(path))):
        with pytest.raises(DataError, match="does not exist"):
            reader(str(tmp_path / ("a.json" if reader is read_squad else "a.csv")))


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


def test_two_classes_are_needed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.csv has 1 different labels \(x\)"):
        datamodule(written(tmp_path, "csv", [("a", "x"), ("b", "x")]))


def test_a_column_that_is_not_there_and_rows_without_any_label_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, "csv", [("a", ""), ("b", "")])
    with pytest.raises(DataError, match="has no column 'sentence'; it has text, label"):
        datamodule(path, text_column="sentence")
    with pytest.raises(DataError, match="all 2 rows are without labels in label"):
        datamodule(path)
