"""Any text, written by Python's csv, json or pyarrow, is read back as it is."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv as arrow_csv
from pyarrow import feather, parquet

from clozekit.data.files.row import BadRow
from clozekit.data.labelled.classification import ClassificationFeatures
from clozekit.data.labelled.labelled_datamodule import read_examples
from tests.data.spelling import spelling_tokenizer

Columns = dict[str, list[str]]


def write_csv(path: Path, columns: Columns) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *zip(*columns.values(), strict=True)])


def write_quoted_csv(path: Path, columns: Columns) -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerows([columns, *zip(*columns.values(), strict=True)])


def write_arrow_csv(path: Path, columns: Columns) -> None:
    arrow_csv.write_csv(pa.table(columns), path)


def write_jsonl(path: Path, columns: Columns, ensure_ascii: bool = True) -> None:
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    lines = [json.dumps(row, ensure_ascii=ensure_ascii) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8", newline="")


def write_plain_jsonl(path: Path, columns: Columns) -> None:
    write_jsonl(path, columns, ensure_ascii=False)


def write_json(path: Path, columns: Columns) -> None:
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8", newline="")


def write_parquet(path: Path, columns: Columns) -> None:
    parquet.write_table(pa.table(columns), path)


def write_feather(path: Path, columns: Columns) -> None:
    feather.write_feather(pa.table(columns), str(path))


WRITERS: dict[str, tuple[str, Callable[[Path, Columns], None]]] = {
    "csv": ("a.csv", write_csv),
    "csv, all quoted": ("a.csv", write_quoted_csv),
    "csv by pyarrow": ("a.csv", write_arrow_csv),
    "jsonl": ("a.jsonl", write_jsonl),
    "jsonl, not escaped": ("a.jsonl", write_plain_jsonl),
    "json": ("a.json", write_json),
    "parquet": ("a.parquet", write_parquet),
    "feather": ("a.feather", write_feather),
}

LOOKS_LIKE = [
    "0001",
    "1e5",
    "NaN",
    "true",
    "2024-01-01",
    "-0",
    "[1]",
    "{}",
    '"',
    "\r\n",
    "\0",
    "=1",
]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(LOOKS_LIKE)
cells = st.lists(st.tuples(texts, texts.filter(bool)), min_size=1, max_size=5)


@pytest.mark.parametrize(("name", "write"), WRITERS.values(), ids=list(WRITERS))
@settings(deadline=None, max_examples=40)
@given(cells=cells)
def test_texts_and_classes_are_read_back_by_training_evaluation_and_prediction(
    name: str,
    write: Callable[[Path, Columns], None],
    cells: list[tuple[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    written = {"text": [text for text, _ in cells], "label": [label for _, label in cells]}
    write(path, {**written, "key": [f"{number}" for number in range(len(cells))]})
    features = ClassificationFeatures(spelling_tokenizer(), id_column="key")
    # Training learns the classes, evaluation checks them.
    examples, num_unlabelled = read_examples(features, features.read_rows(str(path)), check=False)
    features.learn_labels(examples, {})
    evaluated, _ = read_examples(features, features.read_rows(str(path)), check=True)
    assert num_unlabelled == 0 and evaluated == examples
    assert [(example.text, *example.labels) for example in examples] == cells
    predicted = []
    for number, (_, row) in enumerate(features.read_rows(str(path)).with_bad_rows()):
        assert not isinstance(row, BadRow)
        predicted.append(features.example(row, number, is_labelled=False))
    assert [example and example.text for example in predicted] == written["text"]
    assert [example and example.id for example in predicted] == [e.id for e in examples]
