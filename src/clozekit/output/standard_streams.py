"""Standard output and error that may be closed, full, or a terminal that is gone."""

import io
import os
import sys
from typing import Any, TextIO


class OutputError(OSError):
    """Standard output cannot be written, because its reader has ended or its disk is full."""


class _Descriptor(io.RawIOBase):
    """Writes to a file descriptor.

    Args:
        descriptor: The file descriptor.
        name: The name of the stream.

    Attributes:
        goes_on: Whether output that cannot be written is dropped, instead of raising `OutputError`.
            From then on the descriptor is that of the null device, so that output of C libraries
            and of child processes is dropped too.
    """

    def __init__(self, descriptor: int, name: str, goes_on: bool) -> None:
        self.descriptor = descriptor
        self.name = name
        self.goes_on = goes_on

    def fileno(self) -> int:
        return self.descriptor

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)

    def write(self, data: Any) -> int:
        try:
            return os.write(self.descriptor, data)
        except BlockingIOError:
            raise
        except OSError as error:
            point_to_null(self.descriptor)
            if self.goes_on:
                return len(memoryview(data).cast("B"))
            raise OutputError(error.errno, error.strerror, "standard output") from None


def open_standard_streams() -> None:
    """Replaces `sys.stdout` and `sys.stderr` by streams that do not end a run if they fail.

    An error to write to stdout raises `OutputError` once, until `keep_going_without_output` is
    called. Errors to write to stderr are ignored: there is no place to report them. A standard
    stream that was closed when the process started becomes the null device. Otherwise the next
    file to be opened, such as a checkpoint, would get its descriptor, and the output of libraries.
    """
    _fill_closed_descriptors()
    # Streams that a test or a notebook has replaced stay.
    if sys.stdout is sys.__stdout__:
        sys.stdout = _stream(sys.stdout, 1, "<stdout>", goes_on=False)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _stream(sys.stderr, 2, "<stderr>", goes_on=True)


def keep_going_without_output() -> None:
    """Makes errors to write to stdout be ignored from now on."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Descriptor):
        raw.goes_on = True


def point_to_null(descriptor: int) -> None:
    """Makes a file descriptor that of the null device."""
    null = os.open(os.devnull, os.O_RDWR)
    if null != descriptor:
        os.dup2(null, descriptor)
        os.close(null)


def write_unbuffered(descriptor: int, line: str) -> None:
    """Writes a line with one system call; does nothing if it cannot be written."""
    try:
        os.write(descriptor, line.encode(errors="backslashreplace"))
    except OSError:
        return


def _fill_closed_descriptors() -> None:
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            point_to_null(descriptor)


def _stream(given: TextIO | None, descriptor: int, name: str, goes_on: bool) -> TextIO:
    """Returns a text stream with the settings of the given one, which is None if it was closed."""
    raw = _Descriptor(descriptor, name, goes_on)
    if given is not None:
        given.flush()
    is_error = descriptor == 2
    stream = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(given, "encoding", None) or "utf-8",
        errors=getattr(given, "errors", None) or ("backslashreplace" if is_error else "strict"),
        line_buffering=is_error or raw.isatty(),
        write_through=getattr(given, "write_through", False),
    )
    stream.mode = "w"  # type: ignore[misc]
    return stream
