"""JSON lines and JSON arrays: rows, columns, places, and what is refused."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clozekit.data.files import json_text
from clozekit.data.files.json_text import JsonStream, parse_json
from clozekit.data.files.opening import MAX_ROW_BYTES
from clozekit.data.files.row import BadRow
from clozekit.data.files.rows import read_file
from clozekit.errors import DataError


def rows_of(folder: Path, name: str, content: str | bytes) -> list[tuple[str, Any]]:
    """The place of each row, and the row or what is wrong with it."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [
        (place.removeprefix(f"{path}, "), row.problem if isinstance(row, BadRow) else row)
        for place, row in read_file(str(path)).with_bad_rows()
    ]


FILES: dict[str, tuple[str, str, list[tuple[str, Any]]]] = {
    "lines": (
        "a.jsonl",
        '{"text": "a"}\n\n  \n{"text": "\u2028b"}\r\n[1]\n{"text": \n{"text": "c"}',
        [
            ("line 1", {"text": "a"}),
            ("line 4", {"text": "\u2028b"}),
            ("line 5", "the line is not a JSON object"),
            ("line 6", "the line is not JSON: Expecting value at column 9"),
            ("line 7", {"text": "c"}),
        ],
    ),
    "a byte order mark": ("a.jsonl", '\ufeff{"text": "a"}\n', [("line 1", {"text": "a"})]),
    "numbers, booleans and texts": (
        "a.jsonl",
        '{"a": 1, "b": "1", "c": true, "d": "2024-01-01", "e": null, "f": 1.0}\n',
        [("line 1", {"a": 1, "b": "1", "c": True, "d": "2024-01-01", "e": None, "f": 1.0})],
    ),
    "an array": (
        "a.json",
        '\ufeff[{"text": "a, ]}\\""},\n {"text": [{"b": {}}]}\n, 3, {"text"}]\n',
        [
            ("item 1 (line 1)", {"text": 'a, ]}"'}),
            ("item 2 (line 2)", {"text": [{"b": {}}]}),
            ("item 3 (line 3)", "the item is not a JSON object"),
            ("item 4 (line 3)", "the item is not JSON: Expecting ':' delimiter at column 8"),
        ],
    ),
    "lines in .json": (
        "a.json",
        '{"text": "a"}\n{"text": "b"}\n',
        [("line 1", {"text": "a"}), ("line 2", {"text": "b"})],
    ),
    "a key twice": (
        "a.jsonl",
        '{"text": "a", "b": {"c": 1, "c": 2}}\n',
        [("line 1", "the line is not JSON: the key 'c' occurs twice")],
    ),
}


@pytest.mark.parametrize(("name", "content", "expected"), FILES.values(), ids=list(FILES))
def test_rows(name: str, content: str, expected: list[tuple[str, Any]], tmp_path: Path) -> None:
    assert rows_of(tmp_path, name, content) == expected


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_deep_nesting_is_refused(name: str, opening: str, tmp_path: Path) -> None:
    deep = '{"text": ' + opening * 100_000
    content = "[" + deep if name == "a.json" else deep
    with pytest.raises(DataError, match="nested more than 64 levels deep"):
        list(read_file(str(written(tmp_path / name, content))))
    closed = {"[": "]", '{"a":': "1}", '[{"a":': "1}]"}[opening]
    shut = f'{{"text": {opening * 500}{closed[:1].replace("1", "")}{closed * 500}}}'
    with pytest.raises(DataError, match="nested more than 64 levels deep"):
        list(read_file(str(written(tmp_path / "b.jsonl", shut))))


def written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def test_brackets_in_a_text_are_not_nesting() -> None:
    text = "[{" * 1000 + '"\\'
    assert parse_json(json.dumps({"text": text})) == {"text": text}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"a": 1}', "line 1 is not JSON: the end of the file stands where ',' should"),
        ('[{"a": 1}\n{"a": 2}]', "line 2 is not JSON: '{' stands where ',' should"),
        ('[{"a": 1}]\n\n[2]', "line 3 is not JSON: more follows"),
        ('[{"a": 1},]', "line 1 is not JSON: ']' stands where a value should"),
        ('[{"a": "b', "line 1 is not JSON: the file is cut off"),
        ('[{"a": 1}, ', "line 1 is not JSON: the file is cut off"),
        ("[]", "has no rows"),
        ("", "has no rows"),
        ('[{"a":\n "é"}]'.encode("latin-1"), r"line 2 is not UTF-8 \(byte 0xe9\)"),
    ],
)
def test_an_array_that_cannot_be_read_is_told_with_its_line(
    content: str | bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        rows_of(tmp_path, "a.json", content)


@pytest.mark.parametrize("content", ["a\né\nb\n".encode("latin-1"), b"a\n\xed\xa0\xbd\nb\n"])
def test_a_line_that_is_not_utf8_is_a_bad_row_among_others(content: bytes, tmp_path: Path) -> None:
    lines = [b'{"a": "%b"}\n' % line for line in content.splitlines()]
    first, (place, problem), third = rows_of(tmp_path, "a.jsonl", b"".join(lines))
    assert (first, third) == (("line 1", {"a": "a"}), ("line 3", {"a": "b"}))
    assert place == "line 2" and problem.startswith("the line is not UTF-8 (byte 0xe")
    first, (place, problem), third = rows_of(tmp_path, "a.tsv", b"a\n" + content)
    assert (first, third) == (("line 2", {"a": "a"}), ("line 4", {"a": "b"}))
    assert place == "line 3" and problem.startswith("the line is not UTF-8 (byte 0xe")


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz"])
def test_a_row_without_an_end_is_refused(name: str, tmp_path: Path) -> None:
    content = b'[{"text": "' if name == "a.json.gz" else b'{"text": "'
    (tmp_path / name).write_bytes(gzip.compress(content + b"0" * (2 * MAX_ROW_BYTES)))
    with pytest.raises(DataError, match=r"line 1: a (row|value) is larger than 16 MiB"):
        list(read_file(str(tmp_path / name)))


def test_a_whole_number_of_too_many_digits_is_refused(tmp_path: Path) -> None:
    content = '{"a": ' + "9" * 5000 + ', "b": "x"}\n'
    told = [("line 1", "the line is not JSON: it has a whole number of more than 4,300 digits")]
    assert rows_of(tmp_path, "a.jsonl", content) == told
    longest = '{"a": -' + "9" * 4300 + "}"
    assert rows_of(tmp_path, "a.jsonl", longest) == [("line 1", json.loads(longest))]


@pytest.mark.parametrize(
    "content",
    [
        '{\n "data": [{"text": "a"},\n {"text": "b"}]\n}\n',
        '\ufeff\n{\n "text": "a"\n}',
        '{"text": "a", "label":\n "b"}',
        "{\n}",
    ],
)
def test_a_file_that_is_one_object_is_told_as_such(content: str, tmp_path: Path) -> None:
    message = r"a\.json is one JSON object over several lines; it must be a list .* row per line"
    with pytest.raises(DataError, match=message):
        rows_of(tmp_path, "a.json", content)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('{\n "text": "a"\n}\n{\n "text": "b"\n}\n', "line 1"),
        ('{"text": "a",\n{"text": "b"}\n', "line 1"),
        ('{"text": \n', "line 1"),
        ('{"text": "a"}\n{"text":\n"b"}\n', "line 2"),
    ],
)
def test_lines_that_are_not_one_object_are_bad_rows(
    content: str, place: str, tmp_path: Path
) -> None:
    found = dict(rows_of(tmp_path, "a.json", content))
    assert found[place].startswith("the line is not JSON: ")


def test_a_column_may_come_late_and_what_a_row_lacks_is_null(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n' * 1500 + '{"text": "b", "label": "x"}\n')
    rows = read_file(str(path))
    assert list(rows.columns) == ["text"] and rows.columns[0] == "text" and len(rows.columns) == 1
    assert "label" in rows.columns and "other" not in rows.columns
    found = [row["label"] for _, row in rows]
    assert found == [None] * 1500 + ["x"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(
    st.lists(values, max_size=5),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
    st.sampled_from([1, 2, 3, 7, 2**18]),
)
def test_the_items_of_an_array_are_those_that_json_reads(
    items: list[Any], indent: Any, ascii_only: bool, chunk: int
) -> None:
    content = json.dumps(items, indent=indent, ensure_ascii=ascii_only).encode() + b"\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_text, "_CHUNK", chunk)
        stream = JsonStream(io.BytesIO(content), "a", 2**20)
        found = [(item.line, stream.parsed(item)) for item in stream.array()]
        stream.end()
    assert [value for _, value in found] == items
    if indent:
        lines = [line for line, _ in found]
        assert lines == sorted(set(lines))
