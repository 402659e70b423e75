"""Sources in a store and on a web server: which files, which bytes of them, and their errors."""

import contextlib
import functools
import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from clozekit.config.prepare import SourceConfig
from clozekit.corpus.sources.lines import LineRange
from clozekit.corpus.sources.readers import plan_partitions, read_documents
from clozekit.corpus.sources.source_files import find_files
from clozekit.errors import DataError, StoreError
from clozekit.storage import calls, remote_files
from tests.corpus.made_texts import (
    make_documents,
    write_bytes,
    write_csv,
    write_jsonl,
    write_parquet,
    write_text,
)
from tests.corpus.stored_texts import put
from tests.harness.fake_hub import REPOSITORY, fake_hub
from tests.harness.s3 import S3Server

DOCUMENTS = make_documents(60)
WRITERS: dict[str, Any] = {
    "a.txt": ("text", write_text),
    "a.txt.gz": ("text", write_text),
    "a.jsonl": ("jsonl", write_jsonl),
    "a.csv": ("csv", write_csv),
    "a.csv.gz": ("csv", write_csv),
    "a.parquet": ("parquet", write_parquet),
}


def source_of(file_format: str, path: str) -> SourceConfig:
    values = {"format": file_format, "path": path}
    source: SourceConfig = TypeAdapter(SourceConfig).validate_python(values)
    return source


def read_texts(file_format: str, path: str, size: int = 2_000) -> list[str]:
    source = source_of(file_format, path)
    partitions = plan_partitions(source, size, Path("unused")).partitions
    return [row.text for part in partitions for row in read_documents(source, part)]


class WholeFiles(http.server.SimpleHTTPRequestHandler):
    """Python's server: it does not know ranges."""

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


class CutOff(WholeFiles):
    """A server whose first answers end in the middle."""

    num_cut_off = 2

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()
        if type(self).num_cut_off:
            type(self).num_cut_off -= 1
            content = content[: len(content) // 2]
        outputfile.write(content)


@contextlib.contextmanager
def web_server(folder: Path, handler: type[WholeFiles] = WholeFiles) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_folder_and_a_glob_have_the_files_of_local_ones_in_their_order(
    tmp_path: Path, s3: S3Server, bucket: str
) -> None:
    names = ("b.txt", "a/deep.txt.gz", "a-b/c.txt", "c.txt", ".hidden/no.txt", ".no.txt", "no.md")
    for name in names:
        put(s3, write_bytes(tmp_path / "texts" / name, b"text"), f"{bucket}/texts/{name}")
    put(s3, write_bytes(tmp_path / "texts" / "a[1].txt", b"text"), f"{bucket}/texts/a[1].txt")
    remote_files.write_bytes(f"{bucket}/texts-2/other.txt", b"text")
    for pattern in ("", "/", "/*.txt", "/[bc].txt", "/**/c.txt", "/b.txt", "/a[1].txt"):
        local = [file.path for file in find_files(f"{tmp_path}/texts{pattern}", "text")]
        stored = find_files(f"{bucket}/texts{pattern}", "text")
        assert [file.path for file in stored] == [
            path.replace(str(tmp_path), bucket) for path in local
        ]
        assert local


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("{bucket}/none.txt", r"^s3://.+/none.txt does not exist$"),
        ("{bucket}/none/*.txt", r"^source.path=s3://.+/none/\*.txt does not match any file$"),
        (
            "{bucket}/folder",
            r"folder: the folder has no .txt, .txt.gz, .txt.bz2, .txt.xz or .txt.zst files$",
        ),
    ],
)
def test_what_is_not_there_is_told(bucket: str, url: str, message: str) -> None:
    remote_files.write_bytes(f"{bucket}/folder/a.md", b"text")
    with pytest.raises(DataError, match=message):
        find_files(url.format(bucket=bucket), "text")


def test_a_file_that_is_written_again_has_another_signature(bucket: str) -> None:
    remote_files.write_bytes(f"{bucket}/a.txt", b"one")
    first = find_files(f"{bucket}/a.txt", "text")
    assert find_files(f"{bucket}/a.txt", "text") == first
    remote_files.write_bytes(f"{bucket}/a.txt", b"two")
    again = find_files(f"{bucket}/a.txt", "text")
    assert again[0].signature != first[0].signature
    assert again[0].size == first[0].size


def test_a_partition_fetches_its_own_bytes(s3: S3Server, bucket: str) -> None:
    line = b"x" * 999 + b"\n"
    size, stop = 8_000_000, 5_000_000
    remote_files.write_bytes(f"{bucket}/a.txt", line * (size // len(line)))
    s3.requests.clear()
    lines = list(LineRange(f"{bucket}/a.txt", 1_000_500, stop))
    assert len(lines) == 3_999
    gets = [request.range for request in s3.requests if request.method == "GET"]
    ranges = [tuple(map(int, text.removeprefix("bytes=").split("-"))) for text in gets]
    assert ranges[0][0] == 1_000_499
    assert sum(last + 1 - first for first, last in ranges) < stop - 1_000_499 + 300_000


def test_a_partition_of_parquet_fetches_its_own_row_groups(
    tmp_path: Path, s3: S3Server, bucket: str
) -> None:
    rng = np.random.default_rng(0)
    texts = [rng.bytes(2_000).hex() for _ in range(1_000)]
    table = pa.table({"text": texts, "unused": texts[::-1]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=100, compression="none")
    url = put(s3, tmp_path / "a.parquet", f"{bucket}/a.parquet")
    source = source_of("parquet", url)
    partitions = plan_partitions(source, 300_000, tmp_path).partitions
    assert len(partitions) == 10
    s3.requests.clear()
    assert [row.text for row in read_documents(source, partitions[3])] == texts[300:400]
    gets = [request.range for request in s3.requests if request.method == "GET"]
    ranges = [tuple(map(int, text.removeprefix("bytes=").split("-"))) for text in gets]
    assert sum(last + 1 - first for first, last in ranges) < 800_000


def test_an_error_names_the_line_of_the_whole_file(tmp_path: Path, bucket: str) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", DOCUMENTS)
    remote_files.write_bytes(f"{bucket}/a.jsonl", path.read_bytes() + b"\n{oops}\n")
    with pytest.raises(DataError, match=rf"^{bucket}/a.jsonl:61 is not JSON: "):
        read_texts("jsonl", f"{bucket}/a.jsonl")
    remote_files.write_bytes(f"{bucket}/a.jsonl.gz", b"\x1f\x8b\x08 not all of it")
    with pytest.raises(DataError, match=rf"^{bucket}/a.jsonl.gz is not a complete gzip file"):
        read_texts("jsonl", f"{bucket}/a.jsonl.gz")
    remote_files.write_bytes(f"{bucket}/a.csv", b'id,text\n1,"never closed\n')
    with pytest.raises(DataError, match=rf"^{bucket}/a.csv, line 2: a quotation mark is never"):
        read_texts("csv", f"{bucket}/a.csv")
    remote_files.write_bytes(f"{bucket}/a.parquet", b"PAR1 no")
    with pytest.raises(DataError, match=rf"^{bucket}/a.parquet cannot be read as Parquet: "):
        read_texts("parquet", f"{bucket}/a.parquet")


@pytest.mark.parametrize("name", WRITERS)
def test_a_store_that_fails_while_a_file_is_read_is_not_taken_for_a_bad_file(
    tmp_path: Path, s3: S3Server, bucket: str, name: str
) -> None:
    file_format, write = WRITERS[name]
    url = put(s3, write(tmp_path / name, DOCUMENTS), f"{bucket}/{name}")
    source = source_of(file_format, url)
    partition = plan_partitions(source, 2_000, tmp_path).partitions[-1]
    s3.fault = lambda request: (500, "InternalError") if request.range else None
    with pytest.raises(StoreError, match=rf"^{url} cannot be read: "):
        list(read_documents(source, partition))


@pytest.mark.parametrize("name", WRITERS)
def test_a_web_server_with_ranges_is_read_as_a_store(
    tmp_path: Path, s3: S3Server, bucket: str, name: str
) -> None:
    file_format, write = WRITERS[name]
    path = write(tmp_path / name, DOCUMENTS)
    put(s3, path, f"{bucket}/{name}")
    s3.system.chmod(f"{bucket}/{name}", "public-read")
    url = f"{s3.address}/{bucket.removeprefix('s3://')}/{name}"
    assert find_files(url, file_format)[0].can_seek == (not name.endswith(".gz"))
    assert read_texts(file_format, url) == read_texts(file_format, str(path))


@pytest.mark.parametrize("handler", [WholeFiles, CutOff])
@pytest.mark.parametrize("name", WRITERS)
def test_a_web_server_without_ranges_is_read_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, handler: type[WholeFiles]
) -> None:
    monkeypatch.setattr(calls, "PAUSE_S", 0.0)
    monkeypatch.setattr(CutOff, "num_cut_off", 2)
    file_format, write = WRITERS[name]
    path = write(tmp_path / name, DOCUMENTS)
    with web_server(tmp_path, handler) as address:
        assert not find_files(f"{address}/{name}", file_format)[0].can_seek
        texts = read_texts(file_format, f"{address}/{name}?download=true")
    assert texts == read_texts(file_format, str(path))


def test_a_web_server_cannot_be_searched(tmp_path: Path) -> None:
    with web_server(tmp_path) as address:
        with pytest.raises(DataError, match=r"cannot be listed: a web server serves single files"):
            find_files(f"{address}/*.txt", "text")
        with pytest.raises(DataError, match=r"/ is a folder of a web server, which cannot be li"):
            find_files(f"{address}/", "text")
        with pytest.raises(StoreError, match=r"/none.txt does not exist$"):
            find_files(f"{address}/none.txt", "text")


def test_reading_a_stream_backwards_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = np.random.default_rng(0).bytes(300_000)
    write_bytes(tmp_path / "a.bin", content)
    with (
        web_server(tmp_path) as address,
        remote_files.opened(f"{address}/a.bin", None, 1_000) as file,
    ):
        for start in (0, 250_000, 40, 299_990):
            file.seek(start)
            assert file.read(5_000) == content[start : start + 5_000]
        file.seek(-10, io.SEEK_END)
        assert file.read() == content[-10:]


def test_files_on_the_hub_are_read_as_those_of_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import HfFileSystem, constants

    for name, (_, write) in WRITERS.items():
        write(tmp_path / "data" / name, DOCUMENTS)
    with fake_hub(tmp_path) as (address, ranges):
        HfFileSystem.clear_instance_cache()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        folder = f"hf://datasets/{REPOSITORY}/data"
        for pattern in ("", "/*.jsonl", "/a.jsonl"):
            found = find_files(f"{folder}{pattern}", "jsonl")
            assert [file.path for file in found] == [f"{folder}/a.jsonl"]
        for name, (file_format, _) in WRITERS.items():
            ranges.clear()
            texts = read_texts(file_format, f"{folder}/{name}")
            assert texts == read_texts(file_format, str(tmp_path / "data" / name))
            assert all(ranges)
        with pytest.raises(StoreError, match=r"none.txt does not exist$"):
            find_files(f"{folder}/none.txt", "text")
    HfFileSystem.clear_instance_cache()
