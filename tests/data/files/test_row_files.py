"""Rows to predict on, read one after the other."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from clozekit.data.files.row_files import BadRow, read_row_file
from clozekit.data.labelled.classification import ClassificationFeatures
from clozekit.data.labelled.row_store import RowStore
from clozekit.errors import DataError
from tests.data.labelled.written_rows import written
from tests.data.spelling import spelling_tokenizer


def row_file(folder: Path, name: str, content: str | bytes) -> list[tuple[int, Any]]:
    raw = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return [
        (line, row.problem if isinstance(row, BadRow) else row)
        for line, row in read_row_file(str(folder / name))
    ]


def text(value: str, label: str = "x") -> dict[str, str]:
    return {"text": value, "label": label}


TOO_MANY = "the row has 3 columns, but the header has 2"
ROW_FILES: dict[str, tuple[str, str, list[tuple[int, Any]]]] = {
    "jsonl": (
        "a.jsonl",
        '{"text": "a", "label": "x"}\n\n  \n{"text": "\u2028b", "label": "x"}\r\n[1]\n',
        [(1, text("a")), (4, text("\u2028b")), (5, "the line is not a JSON object")],
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
        [(2, text('"a')), (3, "the row has 1 columns, but the header has 2")],
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
    assert second[0] == 2 and second[1].startswith("the line is not JSON: Expecting value")


def test_rows_before_a_spoilt_place_are_read_and_the_place_is_told(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": str(number)}) + "\n" for number in range(20_000))
    whole = gzip.compress(lines.encode())
    middle = len(whole) // 2
    spoilt = whole[:middle] + b"\xff" * 50 + whole[middle + 50 :]
    for content in (whole[:middle], spoilt):
        (tmp_path / "a.jsonl.gz").write_bytes(content)
        rows: list[Any] = []
        with pytest.raises(DataError, match=r"cannot be read after line \d+"):
            rows.extend(read_row_file(str(tmp_path / "a.jsonl.gz")))
        assert len(rows) > 100
        assert rows[:100] == [(number + 1, {"text": str(number)}) for number in range(100)]


def test_rows_that_are_not_utf8_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.csv is not UTF-8 after line 0"):
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
    with pytest.raises(DataError, match=r"rows\.jsonl, row 2: text is None but must be text"):
        RowStore(features).read(features.read_rows(path), check=False)
