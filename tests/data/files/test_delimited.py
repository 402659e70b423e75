"""CSV and TSV: cells, places, and what is refused."""

import csv
import gzip
from pathlib import Path
from typing import Any

import pytest

from clozekit.data.files.opening import MAX_ROW_BYTES
from clozekit.data.files.row import BadRow
from clozekit.data.files.rows import NoRowsError, read_file
from clozekit.errors import DataError


def rows_of(folder: Path, name: str, content: str | bytes) -> list[tuple[int, Any]]:
    """The line of each row, and its cells or what is wrong with it."""
    raw = content.encode() if isinstance(content, str) else content
    path = folder / name
    path.write_bytes(raw)
    start = f"{path}, line "
    return [
        (int(place.removeprefix(start)), row.problem if isinstance(row, BadRow) else row)
        for place, row in read_file(str(path)).with_bad_rows()
    ]


def text(value: str, label: str = "x") -> dict[str, str]:
    return {"text": value, "label": label}


TOO_MANY = "the row has 3 columns, but the header has 2"
CARRIAGE_RETURN = "there is a carriage return in it; lines must end in \\n or \\r\\n"
FILES: dict[str, tuple[str, str, list[tuple[int, Any]]]] = {
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
    "a header of two lines": ("a.csv", 'text,"l\n2"\na,x\n', [(3, {"text": "a", "l\n2": "x"})]),
    "a header after blank lines": ("a.csv", "\n\ntext,label\na,x\n", [(4, text("a"))]),
    "quotation marks inside": ("a.csv", 'text,label\na "b" c,x\n', [(2, text('a "b" c'))]),
    "an index of pandas": ("a.csv", ",text,label\n0,a,x\n", [(2, text("a"))]),
    "blank columns": ("a.csv", "text,label,,\na,x,,\n", [(2, text("a"))]),
    "signs of other systems": (
        "a.csv",
        'text,label\n"a\rb",x\na\0b,x\n\u2028c\x85,x\n',
        [(2, text("a\rb")), (3, text("a\0b")), (4, text("\u2028c\x85"))],
    ),
    "tsv": (
        "a.tsv",
        'text\tlabel\n"a\tx\nb\nhe said "no"\tx\r\n\n\tx\n',
        [
            (2, text('"a')),
            (3, "the row has 1 columns, but the header has 2"),
            (4, text('he said "no"')),
            (6, text("")),
        ],
    ),
    "tsv, a carriage return in a cell": (
        "a.tsv",
        "text\tlabel\ngood \rfilm\tpos\nb\tx\n",
        [(2, CARRIAGE_RETURN), (3, text("b"))],
    ),
    "blank lines of one column": (
        "a.csv",
        '\ntext\na\n\n""\n\nb\n\n\n',
        [(n, {"text": each}) for n, each in enumerate(("a", "", "", "", "b"), start=3)],
    ),
    "blank lines of one column, tsv": (
        "a.tsv",
        "text\na\n\r\nb\n\n",
        [(2, {"text": "a"}), (3, {"text": ""}), (4, {"text": "b"})],
    ),
    "a byte order mark": ("a.csv", "\ufefftext,label\n\ufeffa,x\n", [(2, text("\ufeffa"))]),
    "a byte order mark, tsv": ("a.tsv", "\ufefftext\tlabel\na\tx\n", [(2, text("a"))]),
    "a byte order mark before a quote": ("a.csv", '\ufeff"text",label\na,x\n', [(2, text("a"))]),
}


@pytest.mark.parametrize(("name", "content", "expected"), FILES.values(), ids=list(FILES))
def test_rows(name: str, content: str, expected: list[tuple[int, Any]], tmp_path: Path) -> None:
    assert rows_of(tmp_path, name, content) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            'text,label\n"Good movie,pos\nIt is "bad",neg\n',
            "line 2: text follows a quoted cell",
        ),
        ("a.csv", 'text,label\na,x\n"b,x\nc,x\n', "line 3: a quotation mark is never closed"),
        ("a.csv", 'text,label\n"a" ,x\n', "line 2: text follows a quoted cell"),
        ("a.csv", "text,label\ngood \rfilm,x\n", "line 2: there is a carriage return outside of"),
        ("a.csv", "text,label\ra,x\r", "line 1: there is a carriage return outside of"),
        ("a.tsv", "text\tlabel\ra\tx\r", "line 1: there is a carriage return in it"),
        ("a.csv", "text,label,text\na,x,b\n", "line 1: the column 'text' occurs twice"),
        ("a.tsv", "text\ttext\na\tx\n", "line 1: the column 'text' occurs twice"),
        ("a.csv", ",,\na,x,b\n", "line 1: the header has no names"),
        (
            "a.csv",
            "text,label\na,x\né,x\n".encode("latin-1"),
            r"line 3: the line is not UTF-8 \(byte 0xe9",
        ),
        (
            "a.csv",
            "text,label\na,x\n".encode("utf-16"),
            r"line 1: the line is not UTF-8 \(byte 0xff",
        ),
        ("a.tsv", "text\tlabel\na\tx\n".encode("utf-16"), r"line 1: the line is not UTF-8"),
        ("a.csv", "text,label\n", "a.csv has no rows"),
        ("a.csv", "", "a.csv has no rows"),
        ("a.tsv", "\n\n", "a.tsv has no rows"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_line(
    name: str, content: str | bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        rows_of(tmp_path, name, content)


def test_a_file_without_rows_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n")
    with pytest.raises(NoRowsError):
        read_file(str(tmp_path / "a.csv"))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("what", ["row", "header", "line"])
def test_a_cell_of_100_mb_is_refused_by_its_line(name: str, what: str, tmp_path: Path) -> None:
    # Zeros, as they are made from a few kilobytes of gzip; read in pieces of at most one row.
    huge = b"0" * (MAX_ROW_BYTES + 10)
    content = {"row": b"text\na\n" + huge, "header": huge, "line": b"text\n" + huge + b"\nb\n"}
    path = tmp_path / f"{name}.gz"
    path.write_bytes(gzip.compress(content[what]))
    number = {"row": 3, "header": 1, "line": 2}[what]
    with pytest.raises(DataError, match=rf"line {number}: a row is larger than 16 MiB"):
        list(read_file(str(path)))


def test_a_quoted_cell_of_many_lines_has_the_same_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = (b"0" * 9999 + b"\n") * (MAX_ROW_BYTES // 20_000)
    path.write_bytes(b'text\na\n"' + lines + b'"\n"' + lines + b'"\n')
    assert [len(row["text"]) for _, row in read_file(str(path))] == [1, len(lines), len(lines)]
    path.write_bytes(b'text\na\n"' + lines * 3)
    with pytest.raises(DataError, match=r"a row is larger than 16 MiB"):
        list(read_file(str(path)))


def test_the_limit_of_another_reader_is_not_taken_over(tmp_path: Path) -> None:
    before = csv.field_size_limit(10)
    try:
        rows = rows_of(tmp_path, "a.csv", "text\n" + "a" * 1000 + "\n")
    finally:
        csv.field_size_limit(before)
    assert len(rows[0][1]["text"]) == 1000
