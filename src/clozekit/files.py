"""Files that are whole or not there, and checksums: the only place that does either.

What is written goes to a temporary file beside its target, which is renamed once it is whole and on
disk. A killed write leaves the target as it was, and its temporary file, which `leftovers` finds.
"""

import hashlib
import io
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

_TEMPORARY = re.compile(r"\.(?P<target>.+)\.[0-9a-f]+(\.tmp)?")


@contextmanager
def write_atomically(path: Path) -> Iterator[BinaryIO]:
    """Opens a temporary file for bytes, which takes the name `path` at the end of the block.

    An exception in the block removes the temporary file. A link at `path` is replaced, not
    followed. Permissions are those that the umask gives.
    """
    temporary = _temporary_beside(path)
    try:
        # "x" follows no link and takes no file that is there.
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


@contextmanager
def write_text_atomically(path: Path) -> Iterator[TextIO]:
    """Like `write_atomically`, for text: UTF-8, and line ends stay as they are."""
    with write_atomically(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        yield text
        text.detach()  # Flushes; the file below stays open.


@contextmanager
def write_folder_atomically(path: Path) -> Iterator[Path]:
    """Makes a temporary folder, which takes the name `path` at the end of the block.

    An exception in the block removes it. `path` may be an empty folder; its parent is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(path)
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Writes text, whole or not at all."""
    with write_atomically(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes JSON, whole or not at all, in a form that depends on the value alone."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def copy_atomically(source: Path, target: Path) -> None:
    """Copies a file's bytes, whole or not at all."""
    with source.open("rb") as read, write_atomically(target) as written:
        shutil.copyfileobj(read, written)


def link_atomically(source: Path, target: Path) -> None:
    """Gives a file a second name, in place of what had it; a copy where links are not possible."""
    temporary = _temporary_beside(target)
    try:
        os.link(source, temporary)
    except OSError:
        copy_atomically(source, target)
        return
    try:
        os.replace(temporary, target)
    finally:
        # A rename between two names of one file does nothing, and leaves both.
        temporary.unlink(missing_ok=True)
    _sync_folder(target.parent)


def leftovers(folder: Path, names: str) -> list[Path]:
    """Finds the temporary files that killed writes have left.

    Args:
        folder: Where to look.
        names: A regular expression for the names of the files that were to be written.
    """
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        temporary = _TEMPORARY.fullmatch(path.name)
        if temporary and re.fullmatch(names, temporary["target"]):
            found.append(path)
    return found


def sha256_of_file(path: Path) -> str:
    """Gives the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(parts: Iterable[bytes]) -> str:
    """Gives the hexadecimal SHA-256 of bytes that follow each other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _temporary_beside(path: Path) -> Path:
    """Gives a name that nobody can guess, in the folder and so on the file system of `path`."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def _sync_folder(folder: Path) -> None:
    """Waits until the folder's names are on disk."""
    # Windows opens no folders.
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
