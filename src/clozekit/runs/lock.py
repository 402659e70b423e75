"""File locks that are released whenever the process that holds them ends."""

import fcntl
import os
import socket
from pathlib import Path

from clozekit.files import open_lock_file


class Lock:
    """A `flock` on a file, which the kernel releases when its last holder has ended.

    A child process that inherits the lock's file descriptor also holds the lock. A sweep can
    therefore detect jobs that outlived an earlier sweep. A file with a process id would not work:
    it would remain after a SIGKILL, and the id might be reused.

    Args:
        path: The file; its folder is created.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """The file descriptor that holds the lock."""
        assert self._descriptor is not None, "the lock is not held"
        return self._descriptor

    def acquire(self) -> bool:
        """Takes the lock if it is free, and returns whether it was."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = open_lock_file(self.path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return False
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        self._descriptor = descriptor
        return True

    def sign(self, process_id: int) -> None:
        """Writes the holder's process id and host to the file."""
        sign(self.descriptor, process_id)

    def holder(self) -> str:
        """Returns the process that signed last."""
        return self.path.read_text(encoding="utf-8").strip() or "another process"

    def release(self) -> None:
        """Releases this process's hold on the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def sign(descriptor: int, process_id: int) -> None:
    """Writes a process id and this host to a lock file."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {process_id} on {socket.gethostname()}".encode(), 0)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock on a file; does not change the file."""
    try:
        descriptor = open_lock_file(path, only_read=True)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
