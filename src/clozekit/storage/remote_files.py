"""Files of object stores and web servers, by URL: the only module that the others use for them.

Every call is tried three times, except where another try cannot help.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from clozekit.errors import DataError
from clozekit.files import name_path, sha256_of_file, write_atomically
from clozekit.storage.calls import tried
from clozekit.storage.errors import is_missing
from clozekit.storage.reading import StoredBytes
from clozekit.storage.stored_file import StoredFile, found_files, stored_file
from clozekit.storage.urls import WEB, name_of, shown

BUFFER_BYTES = 2**22
"""How much of a file is fetched at once."""


def exists(url: str) -> bool:
    """Whether there is a file or folder of this URL.

    Raises:
        DataError: The store does not say, or cannot be reached.
    """

    # fsspec's own `exists` also says no when the store cannot be reached.
    def look(system: Any) -> bool:
        try:
            system.info(url)
        except FileNotFoundError as error:
            if is_missing(error):
                return False
            raise
        return True

    return tried(url, "be read", look)


def stat(url: str) -> StoredFile:
    """Describes a file.

    Raises:
        DataError: It does not exist, is a folder, or cannot be read.
    """
    info: Mapping[str, Any] = tried(url, "be read", lambda system: system.info(url))
    if info.get("type") == "directory":
        raise DataError(f"{url} is a folder, not a file")
    return stored_file(url, info)


def find(url: str) -> list[StoredFile]:
    """Describes a file, or lists all files of a folder, at any depth, sorted by URL.

    Raises:
        DataError: There is no such file or folder, or it cannot be read.
    """
    info: Mapping[str, Any] = tried(url, "be read", lambda system: system.info(url))
    return files(url) if info.get("type") == "directory" else [stored_file(url, info)]


def names(url: str) -> list[str]:
    """Lists the names of the files and folders in a folder; none if there is no such folder.

    Raises:
        DataError: The folder cannot be listed.
    """
    _refuse_web(url, "listed")

    def find_names(system: Any) -> list[str]:
        try:
            paths = system.ls(url, detail=False)
        except FileNotFoundError as error:
            if is_missing(error):
                return []
            raise
        # A store may list the folder itself as a file of no bytes.
        folder = url.partition("://")[2].strip("/")
        return [name_of(f"x://{path}") for path in paths if path.strip("/") != folder]

    return sorted(tried(url, "be listed", find_names))


def files(url: str) -> list[StoredFile]:
    """Lists all files of a folder, at any depth, sorted by URL; none if there is no such folder.

    Raises:
        DataError: The folder cannot be listed.
    """
    return _listed(url, lambda system: system.find(url, detail=True))


def glob(pattern: str) -> list[StoredFile]:
    """Lists the files that match a pattern with `*`, `?`, `[…]` or `**`, sorted by URL.

    Raises:
        DataError: The folder cannot be listed.
    """
    return _listed(pattern, lambda system: system.glob(pattern, detail=True))


@contextmanager
def opened(
    url: str, stop: int | None = None, buffer_bytes: int = BUFFER_BYTES
) -> Iterator[BinaryIO]:
    """Opens a file for reading. It can be sought; only what is read is fetched, in blocks.

    Each block is tried three times on its own, so a large file can be read over a bad connection.

    Args:
        url: The URL.
        stop: Where reading probably ends, so that little is fetched behind it.
        buffer_bytes: The size of a block.

    Raises:
        DataError: The file cannot be opened, or, later in the block, read.
    """
    with io.BufferedReader(_bytes_of(url, stop), buffer_bytes) as file:
        yield file


def can_seek(url: str) -> bool:
    """Tells whether the middle of a file can be read without what is before it.

    All stores can. A web server may send whole files only.

    Raises:
        DataError: The file cannot be read.
    """
    if url.partition("://")[0].lower() not in WEB:
        return True
    with _bytes_of(url) as file:
        return file.has_ranges()


def read_bytes(url: str, most: int = 2**28) -> bytes:
    """Reads a small file.

    Raises:
        DataError: It cannot be read, or has more than `most` bytes.
    """
    size = stat(url).size
    if size is not None and size > most:
        raise DataError(f"{url} has {size:,} bytes; it should have at most {most:,}")
    content: bytes = tried(url, "be read", lambda system: system.cat_file(url))
    return content


def download(url: str, target: Path) -> str:
    """Downloads a file. `target` appears when it is complete, and is replaced if it exists.

    Returns:
        The SHA-256 of what was written.

    Raises:
        DataError: The file cannot be read.
        OSError: `target` cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(target) as file:
        part = Path(file.name)
        try:
            return download_into(url, part)
        except OSError as error:
            name_path(error, target, part)
            raise


def download_into(url: str, part: Path) -> str:
    """Downloads a file into an existing file, which is incomplete until then.

    Returns:
        The SHA-256 of what was written.

    Raises:
        DataError: The file cannot be read.
        OSError: `part` cannot be written.
    """
    tried(url, "be read", lambda system: system.get_file(url, str(part)), part)
    return sha256_of_file(part)


def upload(source: Path, url: str) -> None:
    """Uploads a local file. It replaces that of the URL when it is complete.

    Raises:
        DataError: It cannot be written, or has another size afterwards.
    """
    _refuse_web(url, "written")

    def put(system: Any) -> None:
        system.put_file(str(source), url)
        stored, size = system.info(url)["size"], source.stat().st_size
        if stored != size:
            raise OSError(f"it has {stored:,} bytes after {size:,} were uploaded")

    tried(url, "be written", put)


def write_bytes(url: str, content: bytes) -> None:
    """Writes a small file.

    Raises:
        DataError: It cannot be written.
    """
    _refuse_web(url, "written")
    tried(url, "be written", lambda system: system.pipe_file(url, content))


def remove(url: str) -> None:
    """Removes a file, if it exists.

    Raises:
        DataError: It cannot be removed.
    """
    _refuse_web(url, "removed")

    def delete(system: Any) -> None:
        try:
            system.rm_file(url)
        except FileNotFoundError:
            return

    tried(url, "be removed", delete)


def _listed(url: str, find: Callable[[Any], Any]) -> list[StoredFile]:
    """Describes the files that a function finds; none if there is no such folder."""
    _refuse_web(url, "listed")

    def describe(system: Any) -> list[StoredFile]:
        try:
            return found_files(url, find(system))
        except FileNotFoundError as error:
            if is_missing(error):
                return []
            raise

    return tried(url, "be listed", describe)


def _bytes_of(url: str, stop: int | None = None) -> StoredBytes:
    return StoredBytes(url, partial(tried, url, "be read"), stop)


def _refuse_web(url: str, verb: str) -> None:
    if url.partition("://")[0].lower() in WEB:
        raise DataError(f"{shown(url)} cannot be {verb}: a web server serves single files only")
