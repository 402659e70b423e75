"""Atomic writes and checksums. All other modules use these functions for both.

Data is written to a temporary file next to the target, which is renamed when it is complete and on
disk. An interrupted write leaves the target unchanged, and a temporary file that `leftovers` finds.
"""

import errno
import hashlib
import io
import json
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from clozekit.errors import UserError

_TEMPORARY = re.compile(r"\.(?P<target>.+)\.[0-9a-f]+(\.tmp)?")


@contextmanager
def write_atomically(path: Path) -> Iterator[BinaryIO]:
    """Opens a temporary binary file, which is renamed to `path` at the end of the block.

    If the block raises an exception, the temporary file is removed. A symbolic link at `path` is
    replaced, not followed. Permissions follow the umask. An `OSError` names `path`, also if the
    system reports none (a full disk) or the temporary file.
    """
    temporary = _temporary_beside(path)
    try:
        # "x" neither follows a link nor opens an existing file.
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        name_path(error, path, temporary)
        raise
    finally:
        _remove(temporary)
    _sync_folder(path.parent)


@contextmanager
def write_text_atomically(path: Path) -> Iterator[TextIO]:
    """Like `write_atomically`, for UTF-8 text without newline translation."""
    with write_atomically(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        yield text
        text.detach()  # Flushes; the file below stays open.


@contextmanager
def write_folder_atomically(path: Path) -> Iterator[Path]:
    """Creates a temporary folder, which is renamed to `path` at the end of the block.

    If the block raises an exception, the temporary folder is removed. `path` may be an empty
    folder, or a link to one; its parent is created.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(path)
    try:
        temporary.mkdir()
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        name_path(error, path, temporary)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Writes text atomically."""
    with write_atomically(path) as file:
        file.write(text.encode())


def as_json(value: Any, indent: int | None = None) -> str:
    """Returns a value as JSON. Numbers that are not finite become null: JSON has none of them."""
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, value: Any) -> None:
    """Writes JSON atomically, as `as_json` makes it. The output depends only on the value."""
    write_text(path, as_json(value, indent=2) + "\n")


def copy_atomically(source: Path, target: Path) -> None:
    """Copies a file atomically."""
    with source.open("rb") as read, write_atomically(target) as written:
        shutil.copyfileobj(read, written)


def link_atomically(source: Path, target: Path) -> None:
    """Hard-links a file to `target`, replacing it; copies it if links are not supported."""
    temporary = _temporary_beside(target)
    try:
        os.link(source, temporary)
    except OSError:
        copy_atomically(source, target)
        return
    try:
        os.replace(temporary, target)
    finally:
        # Renaming a link to another link of the same file does nothing, and leaves both.
        temporary.unlink(missing_ok=True)
    _sync_folder(target.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on a file, which is created; waits for a process that holds it.

    The lock ends with the process. File systems without locks are not locked.
    """
    if os.name != "posix":
        yield
        return
    import fcntl

    descriptor = open_lock_file(path)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # A process forked meanwhile has the descriptor, too; it does not keep the lock.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def open_lock_file(path: Path, only_read: bool = False) -> int:
    """Opens a lock file, and creates it unless it is only read. Its content is not changed.

    A folder from someone else may have a link in the place of the lock file, so links are refused.

    Returns:
        The file descriptor, which child processes do not inherit.

    Raises:
        FileNotFoundError: The file is only read, and does not exist.
        UserError: The path is a link, or not a regular file.
    """
    return _open_without_following(path, os.O_RDONLY if only_read else os.O_RDWR | os.O_CREAT)


@contextmanager
def append_text(path: Path) -> Iterator[TextIO]:
    """Opens a UTF-8 text file to append to it, without newline translation.

    Raises:
        UserError: The path is a link, or not a regular file.
    """
    descriptor = _open_without_following(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with os.fdopen(descriptor, "a", encoding="utf-8", newline="") as file:
        yield file


def refuse_links(folder: Path) -> None:
    """Checks that a folder is not a symbolic link, and contains none at any depth.

    What is written to such a folder, or removed from it, would be written or removed elsewhere.

    Raises:
        UserError: The folder is a link or contains one.
    """
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        if path.is_symlink():
            raise UserError(f"{path} is a symbolic link; remove it, it should be a folder or file")
        if path.is_dir():
            waiting += path.iterdir()


def leftovers(folder: Path, names: str) -> list[Path]:
    """Finds the temporary files of interrupted writes.

    Args:
        folder: The folder to search.
        names: A regular expression for the names of the target files.
    """
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        temporary = _TEMPORARY.fullmatch(path.name)
        if temporary and re.fullmatch(names, temporary["target"]):
            found.append(path)
    return found


def name_path(error: OSError, path: Path, temporary: Path | None = None) -> None:
    """Sets the path of an error to that of the file that could not be written, if it has none.

    Args:
        error: The error.
        path: The file or folder.
        temporary: The temporary name of `path`, which says nothing to the user.
    """
    if error.filename is None and error.errno is not None:
        error.filename = str(path)
    elif temporary is not None and str(error.filename).startswith(str(temporary)):
        error.filename = f"{path}{str(error.filename).removeprefix(str(temporary))}"
        error.filename2 = None


def sha256_of_file(path: Path) -> str:
    """Returns the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(parts: Iterable[bytes]) -> str:
    """Returns the hexadecimal SHA-256 of concatenated bytes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


class GradualHash:
    """The SHA-256 of concatenated bytes that are hashed part by part, between other work.

    Args:
        parts: The bytes.
    """

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)
        self._digest = hashlib.sha256()

    def advance(self) -> None:
        """Hashes the next part, if any."""
        self._digest.update(next(self._parts, b""))

    def finish(self) -> str:
        """Hashes the remaining parts, and returns the hexadecimal hash."""
        for part in self._parts:
            self._digest.update(part)
        return self._digest.hexdigest()


def _open_without_following(path: Path, flags: int) -> int:
    try:
        # Without blocking, because opening a named pipe could wait for ever.
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(
                f"{path} is a symbolic link; remove it, it should be a regular file"
            ) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path} is not a regular file; remove it")
    return descriptor


def _temporary_beside(path: Path) -> Path:
    """Returns an unguessable name in the same folder, and thus the same file system, as `path`."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def _remove(temporary: Path) -> None:
    """Removes a temporary file, if it is there. An error would hide that of writing it."""
    with suppress(OSError):
        temporary.unlink()


def _sync_folder(folder: Path) -> None:
    """Waits until the folder's entries are on disk."""
    # Windows cannot open folders.
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
