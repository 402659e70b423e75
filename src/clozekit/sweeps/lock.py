"""Locks that end with the process that holds them, however it ends."""

import fcntl
import os
import socket
from pathlib import Path


class Lock:
    """A lock on a file, by `flock`: the kernel gives it back when the last holder has ended.

    A process that is started with the lock's descriptor holds it too, so a job that outlives its
    sweep is seen by the next one. A file with a process id in it would outlive a SIGKILL, and the
    id may be another process's by then.

    Args:
        path: The file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """The open file that holds the lock."""
        assert self._descriptor is not None, "the lock is not held"
        return self._descriptor

    def acquire(self) -> bool:
        """Takes the lock if it is free, and says whether it was."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def sign(self, process_id: int) -> None:
        """Writes down who holds the lock."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"process {process_id} on {socket.gethostname()}".encode(), 0)

    def holder(self) -> str:
        """Tells who has signed last."""
        return self.path.read_text(encoding="utf-8").strip() or "another process"

    def release(self) -> None:
        """Closes this process's hold on the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_held(path: Path) -> bool:
    """Whether a process holds the lock on a file, which is left as it is."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
