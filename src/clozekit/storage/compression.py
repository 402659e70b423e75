"""Compressed files: the endings of their names, and their content."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from clozekit.storage.urls import is_url, name_of


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
