"""Files by URL, on a store with faults."""

import errno
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from clozekit.errors import DataError
from clozekit.storage import remote_files
from tests.harness.shelf import URL, Shelf, shelf


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Path]:
    with shelf(tmp_path / "shelf") as bucket:
        yield bucket


def test_files_are_written_listed_read_and_removed(bucket: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"local")
    remote_files.upload(tmp_path / "file", f"{URL}/a/one.txt")
    remote_files.write_bytes(f"{URL}/a/b/two.csv", b"remote")
    listed = remote_files.files(f"{URL}/a")
    assert [file.url for file in listed] == [f"{URL}/a/b/two.csv", f"{URL}/a/one.txt"]
    assert [file.size for file in listed] == [6, 5]
    assert all(file.version for file in listed)
    assert remote_files.stat(f"{URL}/a/one.txt") == listed[1]
    assert [file.url for file in remote_files.glob(f"{URL}/a/*.txt")] == [f"{URL}/a/one.txt"]
    assert remote_files.read_bytes(f"{URL}/a/b/two.csv") == b"remote"
    with remote_files.opened(f"{URL}/a/b/two.csv") as file:
        file.seek(2)
        assert file.read(2) == b"mo"
    digest = remote_files.download(f"{URL}/a/one.txt", tmp_path / "new" / "copy")
    assert (tmp_path / "new" / "copy").read_bytes() == b"local"
    assert digest == remote_files.sha256_of_file(tmp_path / "file")
    remote_files.remove(f"{URL}/a/one.txt")
    remote_files.remove(f"{URL}/a/one.txt")
    assert not remote_files.exists(f"{URL}/a/one.txt")
    assert remote_files.exists(f"{URL}/a/b/two.csv")
    assert remote_files.files(f"{URL}/nothing") == []


CALLS: dict[str, Callable[[str, Path], Any]] = {
    "stat": lambda url, _: remote_files.stat(url),
    "read": lambda url, _: remote_files.read_bytes(url),
    "download": lambda url, path: remote_files.download(url, path / "copy"),
    "open": lambda url, _: remote_files.opened(url).__enter__(),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_missing_file_is_one_sentence_and_one_request(
    call: str, bucket: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=rf"^{URL}/none does not exist$"):
        CALLS[call](f"{URL}/none", tmp_path)
    requests = [Shelf.requests(verb) for verb in ("info", "cat", "get", "open")]
    assert max(map(len, requests)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shelf"]


@pytest.mark.parametrize("call", CALLS)
def test_an_error_that_may_pass_is_tried_three_times(
    call: str, bucket: Path, tmp_path: Path
) -> None:
    (bucket / "file").write_bytes(b"x")
    with shelf(tmp_path / "shelf", errors=100), pytest.raises(DataError) as caught:
        CALLS[call](f"{URL}/file", tmp_path)
    assert str(caught.value) == f"{URL}/file cannot be read: connection reset by the shelf"
    assert max(len(Shelf.requests(verb)) for verb in ("info", "cat", "get", "open")) == 3


def test_denied_access_is_one_sentence_and_one_request(bucket: Path, tmp_path: Path) -> None:
    with shelf(tmp_path / "shelf", denied="secret"), pytest.raises(DataError) as caught:
        remote_files.write_bytes(f"{URL}/secret", b"x")
    assert "cannot be written: access is denied (AccessDenied); check the cred" in str(caught.value)
    assert len(Shelf.requests("put")) == 1


def test_a_store_that_cannot_be_reached_does_not_lack_the_file(
    bucket: Path, tmp_path: Path
) -> None:
    for call in (remote_files.exists, remote_files.files):
        with shelf(tmp_path / "shelf", errors=100), pytest.raises(DataError, match="reset"):
            call(f"{URL}/file")
    with pytest.raises(DataError, match="cannot be read: Cannot connect to host 127"):
        remote_files.exists("http://127.0.0.1:1/file")


def test_a_folder_is_not_a_file(bucket: Path) -> None:
    (bucket / "folder").mkdir()
    with pytest.raises(DataError, match="is a folder, not a file"):
        remote_files.stat(f"{URL}/folder")


def test_a_full_disk_names_the_local_file(bucket: Path, tmp_path: Path) -> None:
    (bucket / "file").write_bytes(b"x")
    full = OSError(errno.ENOSPC, "No space left on device")
    with mock.patch.object(Shelf, "get_file", side_effect=full), pytest.raises(OSError) as caught:
        remote_files.download(f"{URL}/file", tmp_path / "copy")
    assert caught.value.filename == str(tmp_path / "copy")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gs://bucket/a", "gs:// needs pip install 'clozekit[gcs]'"),
        ("abfs://bucket/a", "abfs:// needs pip install 'clozekit[azure]'"),
        ("wrong://bucket/a", "wrong:// is not a known kind of store"),
        ("s3://key:secret@bucket/a", "has a user or password"),
    ],
)
def test_other_stores_are_one_sentence(url: str, message: str) -> None:
    with (
        mock.patch.dict(sys.modules, {"gcsfs": None, "adlfs": None}),
        pytest.raises(DataError) as caught,
    ):
        remote_files.stat(url)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_web_server_cannot_be_listed_or_written(tmp_path: Path) -> None:
    for call in (remote_files.files, remote_files.glob, remote_files.remove):
        with pytest.raises(DataError, match="a web server serves single files only"):
            call("https://server/folder")


@pytest.mark.parametrize(
    "reason",
    [
        "GET https://server/file?sig=geheim failed",
        "cannot connect to https://user:geheim@server/file",
    ],
)
def test_no_error_shows_a_secret(reason: str, bucket: Path) -> None:
    (bucket / "file").write_bytes(b"x")
    with (
        mock.patch.object(Shelf, "cat_file", side_effect=OSError(reason)),
        pytest.raises(DataError) as caught,
    ):
        remote_files.read_bytes(f"{URL}/file")
    assert "geheim" not in str(caught.value)
    assert "server/file" in str(caught.value)


def test_fsspec_is_imported_when_a_url_is_used() -> None:
    code = (
        "import sys, clozekit.storage.remote_files, clozekit.config.train; "
        "import clozekit.corpus.opening; "
        "sys.exit('fsspec' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
