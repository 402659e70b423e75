"""Rows from files: what each format gives, which labels are missing, and what is refused."""

import csv
import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from clozekit.data.classification import ClassificationDataModule, ClassificationFeatures
from clozekit.data.conll import read_conll
from clozekit.data.features import RowError
from clozekit.data.labelled import LabelledDataModule, hold_out, read_examples
from clozekit.data.multiple_choice import MultipleChoiceFeatures
from clozekit.data.reading import (
    Rows,
    as_name,
    is_missing,
    ordered_names,
    read_file,
    read_split,
)
from clozekit.data.regression import RegressionDataModule, RegressionFeatures
from clozekit.data.row_files import BadRow, read_row_file
from clozekit.data.squad import read_squad
from clozekit.errors import DataError
from tests.data.spelling import spelling_tokenizer

COLUMNS = ("text", "label")
Values = list[tuple[Any, ...]]


def write_csv(path: Path, rows: Values, columns: tuple[str, ...] = COLUMNS) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])


def write_tsv(path: Path, rows: Values) -> None:
    lines = ["\t".join("" if value is None else str(value) for value in row) for row in rows]
    path.write_text("\n".join(["\t".join(COLUMNS), *lines]) + "\n", encoding="utf-8")


def write_jsonl(path: Path, rows: Values) -> None:
    objects = [json.dumps(dict(zip(COLUMNS, row, strict=True))) for row in rows]
    path.write_text("\n".join(objects) + "\n", encoding="utf-8")


def write_json(path: Path, rows: Values) -> None:
    objects = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    path.write_text(json.dumps(objects), encoding="utf-8")


def write_parquet(path: Path, rows: Values) -> None:
    table = pa.table({c: [row[i] for row in rows] for i, c in enumerate(COLUMNS)})
    parquet.write_table(table, path)


WRITERS: dict[str, Callable[[Path, Values], None]] = {
    "csv": write_csv,
    "tsv": write_tsv,
    "jsonl": write_jsonl,
    "json": write_json,
    "parquet": write_parquet,
}


def written(folder: Path, ending: str, rows: Values, gzipped: bool = False) -> str:
    path = folder / f"rows.{ending}"
    WRITERS[ending](path, rows)
    return str(zipped(path) if gzipped else path)


def zipped(path: Path) -> Path:
    target = path.with_name(path.name + ".gz")
    target.write_bytes(gzip.compress(path.read_bytes()))
    return target


def read(rows: Rows) -> list[dict[str, Any]]:
    return [dict(row) for _, row in rows]


def datamodule(
    train: str, kind: type[LabelledDataModule[Any]] = ClassificationDataModule, **changes: Any
) -> LabelledDataModule[Any]:
    arguments = {
        "tokenizer": spelling_tokenizer(),
        "validation": train,
        "seed": 0,
        "global_batch_size": 4,
        "micro_batch_size": 4,
    }
    return kind(**{"train": train, **arguments, **changes})


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
        "3 in train (0 cut, 2 left out for want of a label), "
        "3 in validation (0 cut, 2 left out for want of a label)"
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
    assert data.sources["train"].rows.labels.tolist() == [1, 0, 3, 2]  # type: ignore[attr-defined]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_what_is_no_number_is_no_score(ending: str, tmp_path: Path) -> None:
    rows = [("a", 1.5), ("b", math.nan), ("c", -100.0), ("d", None), ("e", 2), ("f", 0.0)]
    path = written(tmp_path, ending, rows)
    data = datamodule(path, RegressionDataModule, score_column="label")
    assert data.sources["train"].rows.scores.tolist() == [1.5, 2, 0]  # type: ignore[attr-defined]
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
    "no rows": ("a.csv", b"text,label\n", "the file has no rows"),
    "no JSON rows": ("a.json", b"[]", "the file has no rows"),
    "nothing at all": ("a.csv", b"", "cannot be read as csv: No columns"),
    "nothing at all, JSONL": ("a.jsonl", b"", "the file has no rows"),
    "nothing at all, gzipped": ("a.jsonl.gz", gzip.compress(b""), "the file has no rows"),
    "a first row too long": (
        "a.csv",
        b"text,label\ngood, bad,x\nfine,y\n",
        "its first row has more columns than its header",
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
    "another format": ("a.xml", b"<a/>", "ending is not one of .csv, .tsv, .json"),
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
        with pytest.raises(DataError, match="there is no such file"):
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
    with pytest.raises(DataError, match=r"rows\.csv: its rows have 1 different labels \(x\)"):
        datamodule(written(tmp_path, "csv", [("a", "x"), ("b", "x")]))


def test_a_column_that_is_not_there_and_rows_without_any_label_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, "csv", [("a", ""), ("b", "")])
    with pytest.raises(DataError, match="there is no column 'sentence'; there are text, label"):
        datamodule(path, text_column="sentence")
    with pytest.raises(DataError, match="none of its 2 rows has a label in label"):
        datamodule(path)


# Labels of several kinds


def multi_label(value: Any) -> tuple[str, ...] | None:
    features = ClassificationFeatures(spelling_tokenizer(), multi_label=True)
    example = features.example({"text": "a", "label": value}, 0, is_labelled=True)
    return None if example is None else example.labels


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        (["b", "a"], ("b", "a")),
        ([], ()),
        (["a", None, ""], ("a",)),
        ([1.0, 2], ("1", "2")),
        ("a", ("a",)),
        ("a;b", ("a", "b")),
        (" a ; ;b;", ("a", "b")),
        (3, ("3",)),
        (3.0, ("3",)),
        (None, None),
        ("", None),
    ],
)
def test_several_labels_are_a_list_or_have_semicolons_between(
    value: object, labels: tuple[str, ...] | None
) -> None:
    assert multi_label(value) == labels


def test_several_labels_of_a_csv_file_become_rows_of_ones_and_zeros(tmp_path: Path) -> None:
    rows = [("a", "x;z"), ("b", "y"), ("c", ""), ("d", "z")]
    data = datamodule(written(tmp_path, "csv", rows), multi_label=True)
    assert data.features.label_names == ["x", "y", "z"]
    assert data.task_arguments() == {"multi_label": True, "label_names": ["x", "y", "z"]}
    targets = data.sources["train"].rows.labels.tolist()  # type: ignore[attr-defined]
    assert targets == [[1, 0, 1], [0, 1, 0], [0, 0, 1]]


def test_a_list_is_not_one_label(tmp_path: Path) -> None:
    path = written(tmp_path, "jsonl", [("a", ["x"]), ("b", ["y"])])
    with pytest.raises(DataError, match=r"rows\.jsonl, row 1: label is \['x'\], where one label"):
        datamodule(path)


def test_rows_are_held_out_though_every_set_of_labels_occurs_once() -> None:
    features = ClassificationFeatures(spelling_tokenizer(), multi_label=True)
    rows = [{"text": "a", "label": [str(number), "x"]} for number in range(20)]
    examples = [features.example(row, i, is_labelled=True) for i, row in enumerate(rows)]
    stay, held_out = hold_out(
        examples,  # type: ignore[type-var,arg-type]
        features.strata(examples),
        features.groups(examples),
        0.2,
        seed=3,
    )
    assert (len(stay), len(held_out)) == (16, 4)


@pytest.mark.parametrize(("value", "score"), [("0.5", 0.5), (3, 3.0), ("nan", None), ("", None)])
def test_a_score_may_be_written_as_text(value: object, score: float | None) -> None:
    features = RegressionFeatures(spelling_tokenizer())
    example = features.example({"text": "a", "score": value}, 0, is_labelled=True)
    assert (None if example is None else example.score) == score


@pytest.mark.parametrize("value", ["good", [1.0], "inf", math.inf])
def test_what_is_no_score_is_told(value: object) -> None:
    features = RegressionFeatures(spelling_tokenizer())
    with pytest.raises(RowError, match="where a number is needed"):
        features.example({"text": "a", "score": value}, 0, is_labelled=True)


def choice(label: Any, choices: Any = ("a", "b")) -> int | None:
    features = MultipleChoiceFeatures(spelling_tokenizer(), question_column=None)
    row = {"context": "c", "choices": list(choices), "label": label}
    example = features.example(row, 0, is_labelled=True)
    return None if example is None else example.label


@pytest.mark.parametrize(
    ("label", "place"), [(1, 1), (0.0, 0), ("1", 1), (None, None), (-100, None), (math.nan, None)]
)
def test_the_right_choice_is_a_place(label: object, place: int | None) -> None:
    assert choice(label) == place


@pytest.mark.parametrize("label", [2, -1, 0.5, "a", math.inf, True, [0]])
def test_what_is_no_place_of_a_choice_is_told(label: object) -> None:
    with pytest.raises(RowError, match="the place of one of 2 choices is needed"):
        choice(label)


def test_choices_are_two_or_more_and_as_many_in_every_row() -> None:
    with pytest.raises(RowError, match="there are 1 choices, where two or more are needed"):
        choice(0, ["a"])
    features = MultipleChoiceFeatures(spelling_tokenizer(), question_column=None)
    features.example({"context": "c", "choices": ["a", "b"], "label": 0}, 0, is_labelled=True)
    with pytest.raises(RowError, match="there are 3 choices, where the first row has 2"):
        features.example({"context": "c", "choices": ["a", "b", "c"], "label": 0}, 1, True)


# CoNLL


def conll(folder: Path, content: str | bytes, name: str = "a.conll") -> list[dict[str, Any]]:
    path = folder / name
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return read(read_conll(str(path), "tokens", "tags"))


def sentence(line: int, words: str, tags: str) -> dict[str, Any]:
    return {"tokens": words.split("|"), "tags": tags.split(), "#line": line}


CONLL: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "blanks": (
        "U.N. B\nhere O\n\nAnn B\n",
        [sentence(1, "U.N.|here", "B O"), sentence(4, "Ann", "B")],
    ),
    "tabs": (
        "New York\tB-LOC\n10\u00a0000\tO\n\n\n",
        [sentence(1, "New York|10\u00a0000", "B-LOC O")],
    ),
    "four columns": (
        "-DOCSTART- -X- -X- O\n\na DT I O\nb NN I B-X\n",
        [sentence(3, "a|b", "O B-X")],
    ),
    "Windows": ("a X\r\n\r\nb Y\r\n", [sentence(1, "a", "X"), sentence(3, "b", "Y")]),
    "a byte order mark": ("\ufeffa\tX\nb\tY\n", [sentence(1, "a|b", "X Y")]),
    "no end of line": ("a X\nb Y", [sentence(1, "a|b", "X Y")]),
    "blank lines with blanks": ("a X\n \t\nb Y\n", [sentence(1, "a", "X"), sentence(3, "b", "Y")]),
    "columns aligned by blanks": (" a   X  \n bc  Y\n", [sentence(1, "a|bc", "X Y")]),
    "another space in a word": (
        "10\u00a0000 X\n\u3000 Y\n",
        [sentence(1, "10\u00a0000|\u3000", "X Y")],
    ),
    "comments, tabs": (
        "# newdoc id = x\n# text = a\na\tX\n#\tSYM\n\n# newdoc id = y\n#\tSYM\nb\tX\n",
        [sentence(3, "a|#", "X SYM"), sentence(7, "#|b", "SYM X")],
    ),
    "comments, blanks": (
        "# newdoc id = x\na X\n# X\n\n# newdoc id = y\n# X\n#hash X\nb X\n",
        [sentence(2, "a|#", "X X"), sentence(6, "#|#hash|b", "X X X")],
    ),
    # As the files of MultiCoNER have it.
    "comments of as many columns": (
        "# id 12ab domain=train\na _ _ B-X\n\n# id 34cd domain=train\nb _ _ O\n",
        [sentence(2, "a", "B-X"), sentence(5, "b", "O")],
    ),
    "an empty tag": ("a\tX\nb\t\n", [{"tokens": ["a", "b"], "tags": ["X", ""], "#line": 1}]),
}


@pytest.mark.parametrize(("content", "expected"), CONLL.values(), ids=list(CONLL))
@pytest.mark.parametrize("name", ["a.conll", "a.txt.gz"])
def test_conll(content: str, expected: list[dict[str, Any]], name: str, tmp_path: Path) -> None:
    assert conll(tmp_path, content, name) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a X\nb\n", "line 2: it has 1 columns, where 2 are needed"),
        ("a\tX\n\nb\tX\tY\n", "line 3: it has 3 columns, where 2 are needed"),
        ("a\n\nb\n", "line 1: it has 1 columns, where 2 are needed"),
        (b"a X\n\xe9 X\n", "line 2: it is not UTF-8"),
        ("", "the file has no rows"),
        ("# a comment\n\n", "the file has no rows"),
    ],
)
def test_a_conll_file_that_cannot_be_read_is_told_with_its_line(
    content: str | bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        conll(tmp_path, content)


def test_a_conll_file_whose_gzip_is_spoilt_is_told(tmp_path: Path) -> None:
    whole = gzip.compress("".join(f"{number} X\n\n" for number in range(9999)).encode())
    for spoilt in (whole[:2000], whole[:1000] + b"\xff" * 50 + whole[1050:], b"a X\n"):
        (tmp_path / "a.conll.gz").write_bytes(spoilt)
        with pytest.raises(DataError, match=r"a\.conll\.gz: it cannot be read"):
            read(read_conll(str(tmp_path / "a.conll.gz"), "tokens", "tags"))


# SQuAD

V1 = {
    "version": "1.1",
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": "Ann ate.",
                    "qas": [
                        {
                            "id": "1",
                            "question": "Who?",
                            "answers": [{"text": "Ann", "answer_start": 0}] * 2,
                        },
                        {"id": 2, "question": "What?", "answers": []},
                    ],
                }
            ],
        }
    ],
}
V2 = json.loads(json.dumps(V1))
V2["data"][0]["paragraphs"][0]["qas"][1] |= {
    "is_impossible": True,
    "plausible_answers": [{"text": "Ann", "answer_start": 0}],
}


@pytest.mark.parametrize("content", [V1, V2], ids=["1.1", "2.0"])
@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_squad(content: dict[str, Any], name: str, tmp_path: Path) -> None:
    raw = json.dumps(content).encode("utf-8-sig")
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    rows = read_squad(str(tmp_path / name))
    assert rows is not None
    assert list(rows.columns) == ["id", "question", "context", "answers"]
    first, second = read(rows)
    assert first == {
        "id": "1",
        "question": "Who?",
        "context": "Ann ate.",
        "answers": {"text": ["Ann", "Ann"], "answer_start": [0, 0]},
    }
    assert second["id"] == "2" and second["answers"] == {"text": [], "answer_start": []}


@pytest.mark.parametrize("content", ["[]", '{"data": 3}', '{"a": 1}\n{"a": 2}\n', '{"a"', "\xff"])
def test_other_json_is_left_to_other_readers(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content.encode("latin-1"))
    assert read_squad(str(tmp_path / "a.json")) is None
    whole = gzip.compress(json.dumps(V1).encode())
    (tmp_path / "a.json.gz").write_bytes(whole[: len(whole) // 2])
    assert read_squad(str(tmp_path / "a.json.gz")) is None
    assert read_squad(str(tmp_path / "a.jsonl")) is None


@pytest.mark.parametrize(
    ("article", "message"),
    [
        ({}, r"data\[0\] is not as SQuAD has it \(KeyError: 'paragraphs'\)"),
        ({"paragraphs": None}, r"data\[0\] .*TypeError"),
        ({"paragraphs": [{"context": "a", "qas": ["b"]}]}, r"data\[0\] .*AttributeError"),
        (
            {
                "paragraphs": [
                    {
                        "context": "a",
                        "qas": [{"id": 1, "question": "b", "answers": [{"text": "a"}]}],
                    }
                ]
            },
            r"data\[0\] .*KeyError: 'answer_start'",
        ),
        ({"paragraphs": []}, "the file has no questions"),
    ],
)
def test_what_is_nearly_squad_is_told(article: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"data": [article]}))
    with pytest.raises(DataError, match=message):
        read_squad(str(tmp_path / "a.json"))


# Rows to predict on


def row_file(folder: Path, name: str, content: str | bytes) -> list[tuple[int, Any]]:
    raw = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return [
        (line, row.problem if isinstance(row, BadRow) else row)
        for line, row in read_row_file(str(folder / name))
    ]


def text(value: str, label: str = "x") -> dict[str, str]:
    return {"text": value, "label": label}


TOO_MANY = "it has 3 columns, where the header has 2"
ROW_FILES: dict[str, tuple[str, str, list[tuple[int, Any]]]] = {
    "jsonl": (
        "a.jsonl",
        '{"text": "a", "label": "x"}\n\n  \n{"text": "\u2028b", "label": "x"}\r\n[1]\n',
        [(1, text("a")), (4, text("\u2028b")), (5, "it is not a JSON object")],
    ),
    "csv": (
        "a.csv",
        'text,label\na,x\n\n"b\nc\n",x\na,b,c\n"d ""e""",x\n"f\ng",h,i\nlast,x',
        [
            (2, text("a")),
            (4, text("b\nc\n")),
            (7, TOO_MANY),
            (8, text('d "e"')),
            (9, TOO_MANY),
            (11, text("last")),
        ],
    ),
    "csv of Windows": (
        "a.csv",
        'text,label\r\n"a\r\nb",x\r\nc,x\r\n',
        [(2, text("a\r\nb")), (4, text("c"))],
    ),
    "csv, a header of two lines": (
        "a.csv",
        'text,"label\n2"\na,x\n',
        [(3, {"text": "a", "label\n2": "x"})],
    ),
    "tsv": (
        "a.tsv",
        'text\tlabel\n"a\tx\nb\n',
        [(2, text('"a')), (3, "it has 1 columns, where the header has 2")],
    ),
    "a byte order mark, csv": ("a.csv", "\ufefftext,label\na,x\n", [(2, text("a"))]),
    "a byte order mark, jsonl": ("a.jsonl", '\ufeff{"text": "a"}\n', [(1, {"text": "a"})]),
    "an empty csv": ("a.csv", "", []),
    "an empty jsonl": ("a.jsonl", "", []),
    "a header alone": ("a.tsv", "text\tlabel\n", []),
}


@pytest.mark.parametrize(("name", "content", "expected"), ROW_FILES.values(), ids=list(ROW_FILES))
@pytest.mark.parametrize("gzipped", [False, True])
def test_row_files(
    name: str, content: str, expected: list[tuple[int, Any]], gzipped: bool, tmp_path: Path
) -> None:
    assert row_file(tmp_path, name + ".gz" * gzipped, content) == expected


def test_a_line_that_is_not_json_is_a_bad_row_among_others(tmp_path: Path) -> None:
    (first, second, third) = row_file(tmp_path, "a.jsonl", '{"a": 1}\n{"a": \n{"a": 2}\n')
    assert (first, third) == ((1, {"a": 1}), (3, {"a": 2}))
    assert second[0] == 2 and second[1].startswith("it is not JSON (Expecting value")


def test_rows_before_a_spoilt_place_are_read_and_the_place_is_told(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": str(number)}) + "\n" for number in range(20_000))
    whole = gzip.compress(lines.encode())
    middle = len(whole) // 2
    spoilt = whole[:middle] + b"\xff" * 50 + whole[middle + 50 :]
    for content in (whole[:middle], spoilt):
        (tmp_path / "a.jsonl.gz").write_bytes(content)
        rows: list[Any] = []
        with pytest.raises(DataError, match=r"behind line \d+, it cannot be read"):
            rows.extend(read_row_file(str(tmp_path / "a.jsonl.gz")))
        assert len(rows) > 100
        assert rows[:100] == [(number + 1, {"text": str(number)}) for number in range(100)]


def test_rows_that_are_not_utf8_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.csv: behind line 0, it is not UTF-8"):
        row_file(tmp_path, "a.csv", "text,label\né,x\n".encode("latin-1"))


def test_progress_is_told_in_bytes_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n' * 5000)
    told: list[int] = []
    assert sum(1 for _ in read_row_file(str(path), told.append)) == 5000
    assert told == sorted(told) and len(told) == 5000 // 256
    assert told[-1] <= path.stat().st_size < 2 * told[-1]


def test_a_row_that_cannot_be_used_is_told_with_its_file_and_row(tmp_path: Path) -> None:
    path = written(tmp_path, "jsonl", [("a", "x"), (None, "y")])
    features = ClassificationFeatures(spelling_tokenizer())
    with pytest.raises(DataError, match=r"rows\.jsonl, row 2: text is None, where a text"):
        read_examples(features, features.read_rows(path), check=False)
