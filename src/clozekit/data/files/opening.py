"""Opens a file of rows, which may be compressed, and reads its lines."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from clozekit import storage
from clozekit.errors import DataError, first_line
from clozekit.urls import is_url, name_of

MAX_ROW_BYTES = 16 * 2**20
"""The maximum size of a row of labelled data."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def _open_zst(raw: BinaryIO) -> Any:
    # pyarrow's own file has no `readline`.
    return io.BufferedReader(pa.input_stream(raw, compression="zstd"), 2**20)


_READERS: dict[str, Callable[[BinaryIO], Any]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": _open_zst,
}
COMPRESSIONS = tuple(_READERS)
"""The endings of compressed files."""
COMPRESSION_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException)
"""What reading a compressed file raises."""


def endings(path: str) -> tuple[str, str]:
    """Returns a file's ending in lower case, and the ending of its compression, if any."""
    name = name_of(path) if is_url(path) else path
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in _READERS else ""
    return (suffixes[-1] if suffixes else ""), compression


def decompressed(raw: BinaryIO, compression: str) -> BinaryIO:
    """Returns the content of an open file, given the ending of its compression, if any."""
    return cast(BinaryIO, _READERS[compression](raw)) if compression else raw


def check_is_file(path: str) -> None:
    """Checks that a path is a file.

    Raises:
        DataError: It is not.
    """
    if not Path(path).is_file():
        problem = "is not a file" if Path(path).exists() else "does not exist"
        raise DataError(f"{path} {problem}")


class OpenFile:
    """A file that is being read.

    Attributes:
        content: Its content, decompressed.
    """

    def __init__(self, raw: BinaryIO, content: BinaryIO) -> None:
        self._raw = raw
        self.content = content

    def position(self) -> int:
        """The number of bytes of the file, as it is on disk, that have been read."""
        return self._raw.tell()


@contextmanager
def opened(path: str) -> Iterator[OpenFile]:
    """Opens a file, also of a store by its URL, and decompresses it by its ending.

    Raises:
        DataError: The file cannot be opened or read, also later in the block.
    """
    compression = endings(path)[1]
    try:
        with storage.opened(path) if is_url(path) else Path(path).open("rb") as raw:
            yield OpenFile(raw, decompressed(raw, compression))
    except COMPRESSION_ERRORS as error:
        reason = (isinstance(error, OSError) and error.strerror) or first_line(error)
        kind = f" as {compression}" if compression else ""
        raise DataError(f"{path} cannot be read{kind}: {reason}") from error


class Lines:
    r"""The numbered lines of a UTF-8 file. Lines end in `\n` alone, so a `\r` stays in the text.

    Args:
        file: The file.
        path: Its name for messages.
        max_bytes: The maximum size of a row, which may have several lines.
        are_rows: Whether each line is a row. A line that is not UTF-8 is then read as an empty line
            with a problem, so that the next one can be read; otherwise it is an error.

    Attributes:
        number: The number of the last line read, from 1.
        problem: What is wrong with that line, if anything.
    """

    def __init__(
        self,
        file: BinaryIO,
        path: str,
        max_bytes: int = MAX_ROW_BYTES,
        are_rows: bool = False,
    ) -> None:
        self._read_line = file.readline
        self._path = path
        self._max_bytes = max_bytes
        self._are_rows = are_rows
        self._row_bytes = 0
        self.number = 0
        self.problem: str | None = None

    def begin_row(self) -> None:
        """Notes that the next line is the first of a row."""
        self._row_bytes = 0

    def __iter__(self) -> Iterator[str]:
        while raw := self._read_line(self._max_bytes + 1):
            self.number += 1
            self._row_bytes += len(raw)
            if self._row_bytes > self._max_bytes:
                raise DataError(
                    f"{self._path}, line {self.number}: a row is larger than "
                    f"{self._max_bytes // 2**20} MiB"
                )
            # Only the first line may start with a byte order mark.
            line = raw.removeprefix(_BYTE_ORDER_MARK) if self.number == 1 else raw
            self.problem, text = None, ""
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                place = f"byte 0x{line[error.start]:02x} at column {error.start + 1}"
                self.problem = f"the line is not UTF-8 ({place})"
                if not self._are_rows:
                    raise DataError(f"{self._path}, line {self.number}: {self.problem}") from None
            yield text
