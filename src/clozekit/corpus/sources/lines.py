"""Reads numbered lines of a text file, or of a byte range of it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from clozekit.errors import DataError, first_line
from clozekit.storage.compression import COMPRESSION_ERRORS, decompressed, endings
from clozekit.storage.remote_files import opened
from clozekit.storage.urls import is_url

MAX_DOCUMENT_BYTES = 64 * 2**20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLOCK = 2**20
_KINDS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "Zstandard"}


class Line(NamedTuple):
    """A line: its number in the range, from 0, and its text with the line ending."""

    number: int
    text: str


@dataclass(frozen=True)
class LineRange:
    """The lines of a file that belong to a byte range.

    The file is split at the first line that starts at or after `start` and `stop`, or at the first
    such blank line if documents are separated by blank lines. Adjacent ranges therefore cover every
    line once, and a document is never split.

    Attributes:
        path: The path or URL of a UTF-8 file; one whose name ends in `.gz`, `.bz2`, `.xz` or `.zst`
            is decompressed and read as a whole.
        start: The first byte.
        stop: The end of the range, exclusive; None reads to the end of the file.
        cut_at_blank: Whether documents are separated by blank lines; otherwise each line is one
            document.
    """

    path: Path | str
    start: int = 0
    stop: int | None = None
    cut_at_blank: bool = False

    def __iter__(self) -> Iterator[Line]:
        with open_binary(self.path, self.stop) as file:
            first_byte = self._first_line_at_or_after_start(file)
            for number, offset, line in self._raw_lines(file, first_byte):
                if offset == 0:
                    line = line.removeprefix(_BYTE_ORDER_MARK)
                try:
                    yield Line(number, line.decode())
                except UnicodeDecodeError as error:
                    raise DataError(
                        f"{self.place(number)} is not UTF-8 "
                        f"(byte 0x{line[error.start]:02x} at column {error.start + 1})"
                    ) from None

    def place(self, number: int) -> str:
        """Returns `file:line` for a line of this range."""
        if not self.start:
            return f"{self.path}:{number + 1}"
        with open_binary(self.path) as file:
            remaining = self._first_line_at_or_after_start(file)
            file.seek(0)
            lines_before = 0
            while remaining:
                block = file.read(min(_BLOCK, remaining))
                lines_before += block.count(b"\n")
                remaining -= len(block)
        return f"{self.path}:{lines_before + number + 1}"

    def _raw_lines(self, file: BinaryIO, offset: int) -> Iterator[tuple[int, int, bytes]]:
        in_foreign_document = self.cut_at_blank and self.start > 0
        document_bytes = number = 0
        while line := file.readline(MAX_DOCUMENT_BYTES + 1):
            at_cut = not self.cut_at_blank or not line.strip()
            document_bytes = len(line) + (0 if at_cut else document_bytes)
            if document_bytes > MAX_DOCUMENT_BYTES:
                raise DataError(
                    f"{self.place(number)}: a document is larger than "
                    f"{MAX_DOCUMENT_BYTES // 2**20} MiB"
                    + ("; put a blank line between documents" if self.cut_at_blank else "")
                )
            if at_cut and self.stop is not None and offset >= self.stop:
                return
            in_foreign_document = in_foreign_document and not at_cut
            if not in_foreign_document:
                yield number, offset, line
            number += 1
            offset += len(line)

    def _first_line_at_or_after_start(self, file: BinaryIO) -> int:
        if not self.start:
            return 0
        file.seek(self.start - 1)
        file.readline()
        return file.tell()


@contextmanager
def open_binary(path: Path | str, stop: int | None = None) -> Iterator[BinaryIO]:
    """Opens a file, and decompresses it by its ending.

    Args:
        path: The path or URL.
        stop: Where reading probably ends.

    Raises:
        DataError: The file cannot be read.
    """
    compression = endings(str(path))[1]
    try:
        with _opened_raw(path, stop) as file:
            yield decompressed(file, compression)
    except COMPRESSION_ERRORS as error:
        if isinstance(error, OSError) and (error.errno is not None or not compression):
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
        kind = _KINDS[compression]
        raise DataError(f"{path} is not a complete {kind} file: {first_line(error)}") from None


def _opened_raw(path: Path | str, stop: int | None) -> AbstractContextManager[BinaryIO]:
    if isinstance(path, str) and is_url(path):
        return opened(path, stop)
    return Path(path).open("rb")
