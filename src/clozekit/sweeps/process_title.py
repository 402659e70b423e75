"""The command line that `ps` shows for a process that was forked."""

import ctypes
from collections.abc import Sequence
from pathlib import Path

_ARG_START, _ARG_END = 45, 46
"""The places of the memory addresses of the arguments in Linux's `/proc/self/stat`, after the name.

See proc_pid_stat(5), where they have the numbers 48 and 49.
"""


def set_process_title(arguments: Sequence[str]) -> None:
    """Writes arguments over those that this process was started with, as far as there is room.

    Linux shows the memory of the arguments up to the first zero byte if its last byte is not zero.
    """
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        begin, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    except (OSError, ValueError, IndexError):
        return
    size = end - begin
    if begin <= 0 or size < 2:
        return  # the addresses are hidden
    title = " ".join(arguments).encode(errors="surrogateescape")[: size - 2]
    ctypes.memmove(begin, title.ljust(size - 1, b"\0") + b" ", size)
