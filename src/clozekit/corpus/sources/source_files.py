"""Finds the files of a source: local ones, and those of stores and web servers."""

import glob
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from clozekit.errors import DataError
from clozekit.storage import remote_files
from clozekit.storage.compression import COMPRESSIONS, endings
from clozekit.storage.stored_file import StoredFile
from clozekit.storage.urls import WEB, is_url, name_of, shown

_COMPRESSION_RATIO = 4
_SUFFIXES = {"text": ".txt", "jsonl": ".jsonl", "csv": ".csv", "parquet": ".parquet"}


class SourceFile(NamedTuple):
    """A file of a source.

    Attributes:
        path: The path or URL.
        size: Its number of bytes; None if a web server does not say.
        signature: What differs once the file is written again.
        can_seek: Whether it can be read from the middle; compressed files cannot.
    """

    path: str
    size: int | None
    signature: list[Any]
    can_seek: bool

    @property
    def text_bytes(self) -> int:
        """An estimate of how much text it has."""
        return (self.size or 0) * (_COMPRESSION_RATIO if is_compressed(self.path) else 1)


def find_files(path: str, file_format: str) -> list[SourceFile]:
    """Returns the file, the folder's files with the format's suffixes, or the glob's matches.

    Raises:
        DataError: There is none, or a store cannot be read.
    """
    suffix = _SUFFIXES[file_format]
    compressions = () if file_format == "parquet" else COMPRESSIONS
    suffixes = (suffix, *(suffix + compression for compression in compressions))
    if is_url(path):
        return [_stored_file(file) for file in _find_stored(path, suffixes)]
    return [_local_file(file) for file in _find_local(path, suffixes)]


def signature_of(file: Path | str) -> list[Any]:
    """Returns what differs once a file, of a path or URL, is written again."""
    if isinstance(file, str) and is_url(file):
        return _signature_of_stored(remote_files.stat(file))
    status = Path(file).stat()
    # Other than the time of modification, a program cannot set the time of the last change.
    return [str(file), status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def is_compressed(path: str) -> bool:
    """Tells from the name of a path or URL whether it is compressed."""
    return bool(endings(path)[1])


def _find_local(path: str, suffixes: tuple[str, ...]) -> list[Path]:
    if Path(path).is_dir():
        files = [
            file
            for file in Path(path).rglob("*")
            if file.name.lower().endswith(suffixes) and not _is_hidden(file.relative_to(path).parts)
        ]
        if not files:
            raise DataError(f"source.path={path}: {_has_none_of(suffixes)}")
    elif glob.has_magic(path) and not Path(path).exists():
        files = [Path(file) for file in glob.glob(path, recursive=True)]  # noqa: PTH207
        if not files:
            raise DataError(f"source.path={path} does not match any file")
    else:
        files = [Path(path)]
        if not files[0].exists():
            raise DataError(f"source.path={path} does not exist")
    return sorted(file for file in files if file.is_file())


def _find_stored(url: str, suffixes: tuple[str, ...]) -> list[StoredFile]:
    if _is_of_web(url) and url.endswith("/"):
        raise DataError(
            f"source.path={shown(url)} is a folder of a web server, which cannot be listed; set "
            "the URL of a file"
        )
    if glob.has_magic(url) and not _is_of_web(url) and not remote_files.exists(url):
        files = [file for file in remote_files.glob(url) if not name_of(file.url).startswith(".")]
        if not files:
            raise DataError(f"source.path={shown(url)} does not match any file")
    else:
        files = remote_files.find(url)
        if [file.url for file in files] != [url]:
            depth = len(PurePosixPath(url.rstrip("/")).parts)
            files = [
                file
                for file in files
                if file.url.lower().endswith(suffixes)
                and not _is_hidden(PurePosixPath(file.url).parts[depth:])
            ]
        if not files:
            raise DataError(f"source.path={shown(url)}: {_has_none_of(suffixes)}")
    # As local paths: the files of a folder "a" before those of "a-b".
    return sorted(files, key=lambda file: PurePosixPath(file.url).parts)


def _local_file(path: Path) -> SourceFile:
    signature = signature_of(path)
    return SourceFile(str(path), path.stat().st_size, signature, not is_compressed(str(path)))


def _stored_file(file: StoredFile) -> SourceFile:
    seeks = not is_compressed(file.url) and remote_files.can_seek(file.url)
    return SourceFile(file.url, file.size, _signature_of_stored(file), seeks)


def _signature_of_stored(file: StoredFile) -> list[Any]:
    return [file.url, file.size, file.version]


def _has_none_of(suffixes: tuple[str, ...]) -> str:
    return f"the folder has no {', '.join(suffixes[:-1])}{' or ' * (len(suffixes) > 1)}" + (
        f"{suffixes[-1]} files"
    )


def _is_hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") for part in parts)


def _is_of_web(url: str) -> bool:
    # In the URL of a web page, a `?` begins a query.
    return url.partition("://")[0].lower() in WEB and "*" not in url
