"""A folder of shards that were fetched from a store, shared by all processes of a machine.

A shard is the file `SHA256.arrow`. A process that downloads it locks `SHA256.lock`, for which the
others wait, and writes `SHA256.SIZE.part`. A process that uses a shard holds a shared lock on it,
so no other removes it. Locks are the kernel's: they end with their process, however it ends, and
what a killed process had begun to download is then removed by the next one.
"""

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from clozekit.errors import DataError, of_os_error
from clozekit.files import locked
from clozekit.storage import remote_files

TRIES = 3
"""The number of downloads of a shard whose checksum is wrong."""

LOCK_FILE = ".lock"
"""The file that is locked while shards are removed."""

_NAME = re.compile(r"(?P<sha256>[0-9a-f]{64})\.(arrow|lock|(?P<size>\d+)\.part)")


@dataclass(frozen=True)
class StoredShard:
    """A shard of a store.

    Attributes:
        url: Its URL.
        sha256: Its SHA-256, from the manifest.
        num_bytes: Its size; an estimate where the store does not say.
    """

    url: str
    sha256: str
    num_bytes: int


class Hold:
    """A shard of the cache that this process uses. No other process removes it meanwhile.

    Attributes:
        path: The file.
        is_checked: Whether this process has just checked its content.
        inode: The file's inode, which tells it from a later download.
    """

    def __init__(self, path: Path, descriptor: int, is_checked: bool) -> None:
        self.path = path
        self.is_checked = is_checked
        self.inode = os.fstat(descriptor).st_ino
        self._descriptor: int | None = descriptor
        self._process_id = os.getpid()

    @property
    def is_own(self) -> bool:
        """Whether this process took it; a fork of it holds nothing."""
        return self._descriptor is not None and self._process_id == os.getpid()

    @property
    def is_there(self) -> bool:
        """Whether the file is still in the folder; the user may have removed it."""
        try:
            return self.path.stat().st_ino == self.inode
        except OSError:
            return False

    def release(self) -> None:
        """Lets other processes remove the file. What is mapped of it can still be read."""
        if self._descriptor is None:
            return
        if self.is_own:
            _unlock(self._descriptor)
        else:
            os.close(self._descriptor)
        self._descriptor = None


class ShardCache:
    """Fetches shards into a folder, and removes those that were not used for longest.

    Args:
        folder: The folder; it is created. Files that are not the cache's are left alone.
        limit: The number of bytes that the shards may have together. Shards in use stay, also
            where several runs together use more.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit

    def hold(self, shard: StoredShard) -> Hold:
        """Returns a shard, which is fetched if it is not there, and keeps it until it is released.

        Raises:
            DataError: It cannot be fetched, or what is fetched has another checksum.
        """
        hold = self._hold(shard, needs_room=False)
        assert hold is not None
        return hold

    def hold_if_room(self, shard: StoredShard) -> Hold | None:
        """The same for a shard that is not needed yet; None if there is no room for it.

        Raises:
            DataError: It cannot be fetched, or what is fetched has another checksum.
        """
        return self._hold(shard, needs_room=True)

    def remove(self, hold: Hold) -> None:
        """Releases and removes a shard that turned out to be damaged."""
        if hold.is_there:
            hold.path.unlink(missing_ok=True)
        hold.release()

    def _hold(self, shard: StoredShard, needs_room: bool) -> Hold | None:
        path = self.folder / f"{shard.sha256}.arrow"
        lock = self.folder / f"{shard.sha256}.lock"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            while (hold := _existing(path)) is None:
                with _locked(lock) as is_locked:
                    if is_locked and not path.exists():
                        return self._fetch(shard, path, needs_room)
            return hold
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DataError(
                    f"{shard.url} cannot be fetched to data.cache.dir={self.folder}: "
                    f"{error.strerror}; set a smaller data.cache.limit or another folder"
                ) from error
            raise DataError(
                f"data.cache.dir={self.folder} cannot be used: {of_os_error(error)}"
            ) from error

    def _fetch(self, shard: StoredShard, path: Path, needs_room: bool) -> Hold | None:
        """Downloads a shard and puts it in its place; None if it needs room that is not there."""
        part = self.folder / f"{shard.sha256}.{shard.num_bytes}.part"
        descriptor = os.open(part, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            if not self._make_room() and needs_room:
                return None
            for _ in range(TRIES):
                digest = remote_files.download_into(shard.url, part)
                if digest == shard.sha256:
                    _lock(descriptor, fcntl.LOCK_SH)
                    os.replace(part, path)
                    hold = Hold(path, descriptor, is_checked=True)
                    descriptor = -1
                    # Its size may have been an estimate.
                    self._make_room()
                    return hold
        finally:
            if descriptor >= 0:
                os.close(descriptor)
            part.unlink(missing_ok=True)
        raise DataError(
            f"{shard.url} has been changed or damaged: its SHA-256 is {digest[:12]}…, but the "
            f"corpus was prepared with {shard.sha256[:12]}…; it was downloaded {TRIES} times"
        )

    def _make_room(self) -> bool:
        """Removes the shards that were not used for longest, until the limit is kept.

        Returns:
            Whether it is. It is not if more is in use.
        """
        with locked(self.folder / LOCK_FILE):
            entries = []
            for path in self.folder.iterdir():
                if found := _NAME.fullmatch(path.name):
                    with suppress(FileNotFoundError):
                        status = path.stat()
                        # A download has its size from the start, so that two do not share its room.
                        size = max(status.st_size, int(found["size"] or 0))
                        entries.append((status.st_mtime_ns, path.name, size, path))
            total = sum(size for _, _, size, _ in entries)
            for _, name, size, path in sorted(entries):
                if path.suffix == ".arrow":
                    is_removed = total > self.limit and _removed_if_unused(path)
                else:
                    is_removed = _removed_if_abandoned(path, path.with_name(f"{name[:64]}.lock"))
                total -= size if is_removed else 0
        return total <= self.limit


def _existing(path: Path) -> Hold | None:
    """Holds a shard that is there; None if it is not."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    # Waits for a process that is about to remove it.
    _lock(descriptor, fcntl.LOCK_SH)
    if not _is_at(path, descriptor):
        _unlock(descriptor)
        return None
    with suppress(OSError):  # The file of another user cannot be touched.
        os.utime(descriptor)
    return Hold(path, descriptor, is_checked=False)


def _removed_if_unused(path: Path) -> bool:
    """Removes a shard unless a process holds a lock on it; returns whether it is gone."""
    try:
        # Some file systems give exclusive locks only for writing.
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # It is another user's.
    try:
        # Without locks it is removed, too: what is mapped of it can still be read.
        if _is_locked_by_another(descriptor):
            return False
        path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        _unlock(descriptor)
    return True


def _removed_if_abandoned(path: Path, lock: Path) -> bool:
    """Removes what is left of a download unless it goes on; returns whether it is gone."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError:
        return False
    try:
        if _is_locked_by_another(descriptor, without_locks=True):
            return False
        path.unlink(missing_ok=True)
        lock.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        _unlock(descriptor)
    return True


def _is_locked_by_another(descriptor: int, without_locks: bool = False) -> bool:
    """Takes an exclusive lock, unless another process has one.

    Args:
        descriptor: The file.
        without_locks: What to return for a file system that has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return without_locks
    return False


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Waits for the lock of a download; removes the file at the end.

    Gives whether the lock is held: the file may have been removed by the one that held it before.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    is_locked = False
    try:
        _lock(descriptor, fcntl.LOCK_EX)
        is_locked = _is_at(path, descriptor)
        yield is_locked
    finally:
        if is_locked:
            path.unlink(missing_ok=True)
        _unlock(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _unlock(descriptor: int) -> None:
    """Releases a lock. A process forked meanwhile has the descriptor too; it does not keep it."""
    _lock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _lock(descriptor: int, operation: int) -> None:
    # File systems without locks are not locked.
    with suppress(OSError):
        fcntl.flock(descriptor, operation)
