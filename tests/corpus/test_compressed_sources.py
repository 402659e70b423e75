"""Sources of compressed files: the same endings as those of labelled rows."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from clozekit.corpus.sources.source_files import find_files
from clozekit.errors import DataError
from clozekit.storage.compression import COMPRESSIONS
from tests.corpus.made_texts import prepare_text, write_text
from tests.corpus.sources.test_readers import DOCUMENTS, SUFFIXES, WRITERS, read_all, read_sentences

PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: bytes(pa.compress(content, "zstd", asbytes=True)),
}


def packed(path: Path, compression: str) -> Path:
    target = path.with_name(path.name + compression)
    target.write_bytes(PACKED[compression.lower()](path.read_bytes()))
    path.unlink()
    return target


def test_every_compression_of_rows_is_tried_here() -> None:
    assert tuple(PACKED) == COMPRESSIONS


@pytest.mark.parametrize("compression", [*PACKED, ".ZST"])
@pytest.mark.parametrize("file_format", ["text", "jsonl", "csv"])
def test_a_compressed_file_gives_the_documents_in_order(
    tmp_path: Path, file_format: str, compression: str
) -> None:
    path = WRITERS[file_format](tmp_path / f"file{SUFFIXES[file_format]}", DOCUMENTS)
    path = packed(path, compression)
    assert read_sentences(path, file_format, 100) == DOCUMENTS
    assert not find_files(str(path), file_format)[0].can_seek


def test_a_folder_has_the_files_of_each_compression(tmp_path: Path) -> None:
    for number, compression in enumerate(["", *PACKED]):
        path = write_text(tmp_path / f"{number}.txt", DOCUMENTS[number * 10 : number * 10 + 10])
        if compression:
            packed(path, compression)
    assert read_sentences(tmp_path, "text") == DOCUMENTS[:50]


@pytest.mark.parametrize("compression", PACKED)
@pytest.mark.parametrize("is_cut", [True, False])
def test_a_file_that_is_not_what_its_ending_says_is_told(
    tmp_path: Path, compression: str, is_cut: bool
) -> None:
    path = write_text(tmp_path / "file.txt", DOCUMENTS)
    if is_cut:
        path = packed(path, compression)
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path = path.rename(f"{path}{compression}")
    kind = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "Zstandard"}[compression]
    with pytest.raises(DataError, match=rf"file.txt{compression} is not a complete {kind} file: "):
        read_all(path, "text")


def test_a_compressed_source_gives_the_same_shards(tmp_path: Path) -> None:
    plain = prepare_text(tmp_path / "plain", write_text(tmp_path / "file.txt", DOCUMENTS))
    path = packed(tmp_path / "file.txt", ".zst")
    corpus = prepare_text(tmp_path / "out", path)
    assert corpus.hash == plain.hash
