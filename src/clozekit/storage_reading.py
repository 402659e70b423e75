"""Reads parts of files of object stores and web servers, by URL."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from clozekit.errors import StoreError
from clozekit.storage import stat, tried
from clozekit.urls import WEB

BUFFER_BYTES = 4 * 2**20
_BEHIND_STOP = 2**18


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

    Yields:
        A binary file.

    Raises:
        DataError: The file cannot be opened, or, later in the block, read.
    """
    with io.BufferedReader(_StoredBytes(url, stop), buffer_bytes) as file:
        yield cast(BinaryIO, file)


def can_seek(url: str) -> bool:
    """Tells whether the middle of a file can be read without what is before it.

    All stores can. A web server may send whole files only.

    Raises:
        DataError: The file cannot be read.
    """
    if url.partition("://")[0].lower() not in WEB:
        return True
    size = stat(url).size
    if size is None:
        return False
    with _StoredBytes(url) as file:
        file.seek(max(size - 1, 0))
        file.read(1)
        return not file.is_stream


class _NoRangesError(StoreError):
    """The server sends only whole files."""


class _StoredBytes(io.RawIOBase):
    """The bytes of a file, without a buffer.

    If a server sends only whole files, they are read from their beginning up to what is wanted.

    Attributes:
        is_stream: Whether the server sends only whole files, as far as is known.
    """

    def __init__(self, url: str, stop: int | None = None) -> None:
        self._url = url
        self._stop = stop
        self._position = 0
        # The caches of fsspec fetch up to 50 MB in advance.
        self._file = tried(url, "be read", lambda system: system.open(url, "rb", cache_type="none"))
        self._size: int | None = getattr(self._file, "size", None)
        self.is_stream = self._size is None
        self._stream: Any = self._file if self.is_stream else None
        self._stream_position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END and self._size is None:
            raise StoreError(f"{self._url}: the server does not tell the size of the file")
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size or 0}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        count = self._count(len(buffer))
        content = self._read(count) if count > 0 else b""
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._close_stream()
            self._file.close()
        super().close()

    def _count(self, wanted: int) -> int:
        """Returns how much to fetch of what is wanted."""
        if self._stop is not None:
            wanted = min(wanted, max(self._stop - self._position, _BEHIND_STOP))
        return wanted if self._size is None else min(wanted, self._size - self._position)

    def _read(self, count: int) -> bytes:
        if not self.is_stream:
            try:
                return self._tried(lambda: self._read_range(count))
            except _NoRangesError:
                self.is_stream = True
        return self._tried(lambda: self._read_stream(count))

    def _tried(self, read: Callable[[], bytes]) -> bytes:
        return tried(self._url, "be read", lambda _: read())

    def _read_range(self, count: int) -> bytes:
        self._file.seek(self._position)
        try:
            content: bytes = self._file.read(count)
        except ValueError as error:
            if "range requests" in str(error):
                raise _NoRangesError(self._url) from None
            raise
        if len(content) != count:
            raise OSError(f"{len(content):,} instead of {count:,} bytes were received")
        return content

    def _read_stream(self, count: int) -> bytes:
        try:
            if self._stream is None or self._stream_position > self._position:
                self._close_stream()
                self._stream = tried(
                    self._url, "be read", lambda system: system.open(self._url, block_size=0)
                )
            while skipped := min(self._position - self._stream_position, BUFFER_BYTES):
                self._read_on(skipped)
            return self._read_on(count)
        except Exception:
            self._close_stream()
            raise

    def _read_on(self, count: int) -> bytes:
        """Reads up to `count` bytes of the stream; none at its end."""
        content: bytes = self._stream.read(count)
        self._stream_position += len(content)
        is_cut_off = self._size is not None and self._stream_position < self._size
        if not content and (is_cut_off or self._stream_position < self._position):
            raise OSError(f"only {self._stream_position:,} bytes were received")
        return content

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream, self._stream_position = None, 0
