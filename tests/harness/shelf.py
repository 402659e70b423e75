"""A store for tests: `shelf://` is a local folder, with a record of requests and faults."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import fsspec
from fsspec import AbstractFileSystem

URL = "shelf://bucket"


class Shelf(AbstractFileSystem):
    """Files below `root/files`. Forked processes share the record, a line for each request.

    Attributes:
        root: The folder.
        faults: What goes wrong, by kind: `errors` is the number of requests in a hundred that fail
            at once; `flipped` is a name whose first downloads have another byte, `num_flipped` how
            many; `seconds` is how long a download takes; `denied` is part of the names that may
            not be written.
    """

    protocol = "shelf"
    cachable = False
    root: Path
    faults: dict[str, Any] = {}  # noqa: RUF012

    def _file(self, path: str) -> Path:
        return self.root / "files" / self._strip_protocol(path)

    def _request(self, verb: str, path: str) -> None:
        """Notes a request, and fails if it is its turn."""
        line = json.dumps([verb, self._strip_protocol(path), os.getpid()]) + "\n"
        descriptor = os.open(self.root / "requests", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(descriptor, line.encode())
        number = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.close(descriptor)
        if verb in ("put", "rm") and self.faults.get("denied", "\0") in path:
            raise PermissionError("AccessDenied")
        if hash_of(number) % 100 < self.faults.get("errors", 0):
            raise ConnectionResetError("connection reset by the shelf")

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        self._request("info", path)
        file = self._file(path)
        status = file.stat()
        if file.is_dir():
            return {"name": self._strip_protocol(path), "type": "directory", "size": 0}
        return self._entry(file, status)

    def _entry(self, file: Path, status: os.stat_result) -> dict[str, Any]:
        name = str(file.relative_to(self.root / "files"))
        etag = f"{status.st_mtime_ns}-{status.st_size}"
        return {"name": name, "type": "file", "size": status.st_size, "ETag": etag}

    def find(self, path: str, **options: Any) -> Any:
        self._request("find", path)
        files = [file for file in sorted(self._file(path).rglob("*")) if file.is_file()]
        entries = [self._entry(file, file.stat()) for file in files]
        return {entry["name"]: entry for entry in entries}

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        self._request("ls", path)
        found = []
        for file in sorted(self._file(path).iterdir()):
            entry = self._entry(file, file.stat())
            found.append(entry | {"type": "directory"} if file.is_dir() else entry)
        return found if detail else [entry["name"] for entry in found]

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        self._request("open", path)
        return self._file(path).open(mode)

    def cat_file(self, path: str, *arguments: Any, **options: Any) -> bytes:
        self._request("cat", path)
        return self._file(path).read_bytes()

    def get_file(self, rpath: str, lpath: str, **options: Any) -> None:
        self._request("get", rpath)
        content = self._file(rpath).read_bytes()
        number = self.requests("get").count(self._strip_protocol(rpath))
        with Path(lpath).open("wb") as file:
            file.write(content[: len(content) // 2])
            file.flush()
            time.sleep(self.faults.get("seconds", 0))
            rest = content[len(content) // 2 :]
            is_flipped = number <= self.faults.get("num_flipped", 10**9)
            if self.faults.get("flipped", "\0") in rpath and is_flipped:
                rest = rest[:-1] + bytes([rest[-1] ^ 1])
            file.write(rest)

    def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
        self._request("put", rpath)
        time.sleep(self.faults.get("seconds", 0))
        self.pipe_file(rpath, Path(lpath).read_bytes())

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
        self._request("put", path)
        file = self._file(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        # A store shows a file when it is complete.
        part = file.with_name(f".{file.name}.{os.getpid()}")
        part.write_bytes(value)
        part.replace(file)

    def rm_file(self, path: str) -> None:
        self._request("rm", path)
        self._file(path).unlink()

    @classmethod
    def requests(cls, verb: str) -> list[str]:
        """The names of the requests of a kind, in order."""
        file = cls.root / "requests"
        lines = file.read_text().splitlines() if file.exists() else []
        return [name for kind, name, _ in map(json.loads, lines) if kind == verb]


def hash_of(number: int) -> int:
    """A number in which those of a row are spread."""
    return (number * 2654435761 >> 8) % 1_000_003


@contextmanager
def shelf(root: Path, **faults: Any) -> Iterator[Path]:
    """Uses a folder as the store; gives the folder of the bucket's files."""
    fsspec.register_implementation("shelf", Shelf, clobber=True)
    bucket = root / "files" / "bucket"
    bucket.mkdir(parents=True, exist_ok=True)
    with (
        mock.patch.object(Shelf, "root", root, create=True),
        mock.patch.object(Shelf, "faults", faults),
        mock.patch("clozekit.storage.calls.PAUSE_S", 0.0),
    ):
        yield bucket
