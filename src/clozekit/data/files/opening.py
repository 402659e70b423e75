"""Opens a file of rows, which may be compressed, and reads its lines."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from clozekit.errors import DataError, first_line
from clozekit.storage import remote_files
from clozekit.storage.compression import COMPRESSION_ERRORS, decompressed, endings
from clozekit.storage.urls import is_url

MAX_ROW_BYTES = 16 * 2**20
"""The maximum size of a row of labelled data."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


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
        with remote_files.opened(path) if is_url(path) else Path(path).open("rb") as raw:
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
