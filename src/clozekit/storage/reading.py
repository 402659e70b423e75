"""The bytes of a file of an object store or a web server, fetched as they are read."""

import io
from collections.abc import Callable
from typing import Any, TypeAlias

from clozekit.errors import StoreError

Tried: TypeAlias = Callable[[Callable[[Any], Any]], Any]
"""Calls a function with a file system, again after an error that may pass."""

_BEHIND_STOP = 2**18
_SKIPPED_AT_ONCE = 2**22


class _NoRangesError(StoreError):
    """The server sends only whole files."""


class StoredBytes(io.RawIOBase):
    """The bytes of a file, without a buffer.

    If a server sends only whole files, they are read from their beginning up to what is wanted.

    Args:
        url: The URL of the file.
        tried: Calls a function with its file system.
        stop: Where reading probably ends, so that little is fetched behind it.
    """

    def __init__(self, url: str, tried: Tried, stop: int | None = None) -> None:
        self._url = url
        self._tried = tried
        self._stop = stop
        self._position = 0
        # The caches of fsspec fetch up to 50 MB in advance.
        self._file = tried(lambda system: system.open(url, "rb", cache_type="none"))
        self._size = _size_of(self._file)
        self._is_stream = self._size is None
        self._stream: Any = self._file if self._is_stream else None
        self._stream_position = 0

    def has_ranges(self) -> bool:
        """Whether the server sends parts of the file, and not only all of it.

        Raises:
            DataError: The file cannot be read.
        """
        if self._size is None:
            return False
        self._position = max(self._size - 1, 0)
        try:
            self._tried(lambda _: self._read_range(min(self._size or 0, 1)))
        except _NoRangesError:
            return False
        return True

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether it can be sought."""
        return True

    def tell(self) -> int:
        """Returns the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Sets the position; nothing is fetched."""
        if whence == io.SEEK_END and self._size is None:
            raise StoreError(f"{self._url}: the server does not tell the size of the file")
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size or 0}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fetches bytes into a buffer, and returns their number."""
        count = self._count(len(buffer))
        content: bytes = self._read(count) if count > 0 else b""
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        """Closes the connections."""
        if not self.closed:
            self._close_stream()
            self._file.close()
        super().close()

    def _count(self, wanted: int) -> int:
        """Returns how much to fetch of what is wanted."""
        if self._stop is not None:
            wanted = min(wanted, max(self._stop - self._position, _BEHIND_STOP))
        return wanted if self._size is None else min(wanted, self._size - self._position)

    def _read(self, count: int) -> Any:
        if not self._is_stream:
            try:
                return self._tried(lambda _: self._read_range(count))
            except _NoRangesError:
                self._is_stream = True
        return self._tried(lambda _: self._read_stream(count))

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
                self._stream = self._tried(lambda system: system.open(self._url, block_size=0))
            while skipped := min(self._position - self._stream_position, _SKIPPED_AT_ONCE):
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


def _size_of(file: Any) -> int | None:
    """Returns the size of a file; None if its server does not say."""
    if hasattr(file, "size"):
        size: int | None = file.size
        return size
    return int(file.seek(0, io.SEEK_END))
