"""Keeps two processes from training one run, and removes the folder of a start that failed."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clozekit.errors import ConfigError, of_os_error
from clozekit.output.display import warn
from clozekit.runs.folder import RUN_LOCK, is_taken
from clozekit.runs.lock import Lock

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
"""Errors of file systems that have no locks."""


class Claim:
    """A run's folder, locked for this process until the process ends, however it ends.

    Args:
        folder: The run's folder.

    Attributes:
        is_new: Whether this process created the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_new = False
        self._existed = folder.exists()
        self._lock = Lock(folder / RUN_LOCK)
        self._is_taken = False
        # A forked data worker would hold the lock of a killed process for some seconds.
        os.register_at_fork(after_in_child=self._lock.release)

    def take(self) -> None:
        """Locks the folder, and creates it if needed.

        Raises:
            ConfigError: Another process trains this run, or has begun it after this one started.
        """
        if self._is_taken:
            return
        self.is_new = not self.folder.exists()
        try:
            if not self._lock.acquire():
                raise ConfigError(
                    f"the run {self.folder} is being trained by {self._lock.holder()}; wait until "
                    "it ends, or set name to another name"
                )
            self._lock.sign(os.getpid())
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            warn(
                f"{of_os_error(error)}: this file system has no locks, so a second process that "
                "trains the same run would not be noticed"
            )
        self._is_taken = True
        if not self.is_new and not self._existed and is_taken(self.folder):
            raise ConfigError(
                f"another process has started the run {self.folder} meanwhile; set name to another "
                "name, or resume=auto to continue it"
            )

    def discard(self) -> None:
        """Removes the folder if this process created it, so that its name can be used again."""
        if self._is_taken and self.is_new:
            shutil.rmtree(self.folder, ignore_errors=True)

    def release(self) -> None:
        """Releases the lock. The file stays: a process that waits for it may have it open."""
        self._lock.release()
        self._is_taken = False


@contextmanager
def claimed(folder: Path, resumes: bool) -> Iterator[Claim]:
    """Gives the claim of a run's folder, and releases it at the end of the block.

    Args:
        folder: The run's folder.
        resumes: Whether the run goes on from what is in the folder. Then the folder is locked
            before anything is read from it, if it exists. Otherwise `take` locks it.
    """
    claim = Claim(folder)
    try:
        if resumes and folder.is_dir():
            claim.take()
        yield claim
    finally:
        claim.release()
