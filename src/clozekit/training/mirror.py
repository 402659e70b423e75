"""Copies what a resume needs of a run to an object store, in the background."""

import shutil
import sys
import threading
from contextlib import suppress
from pathlib import Path

from clozekit.errors import ConfigError, DataError, of_os_error
from clozekit.files import copy_atomically, link_atomically, sha256_of_file
from clozekit.output.display import say
from clozekit.runs.folder import RunFolder
from clozekit.runs.mirror import (
    RECORD_FILE,
    TEXT_FILES,
    MirroredFile,
    MirrorRecord,
    is_stored_name,
    newest_step,
    read_record,
)
from clozekit.storage import remote_files
from clozekit.storage.urls import join

SNAPSHOTS = ".mirror"
"""The folder in the run's folder with links to the files that are being copied."""

_KEY = "callbacks.checkpoints.mirror"


class Mirror:
    """Copies the state of a run whenever a checkpoint is saved, without holding up the training.

    Of states that are saved while one is being copied, only the last is copied.

    Args:
        url: The URL of the copy.
        folder: The run's folder.
    """

    def __init__(self, url: str, folder: RunFolder) -> None:
        self.url = url
        self.folder = folder
        self._record: MirrorRecord | None = None
        self._number = 0
        self._changed = threading.Condition()
        self._waiting: tuple[Path, int] | None = None
        self._is_copying = False
        self._error: DataError | None = None
        self._stored: set[str] = set()
        self._thread: threading.Thread | None = None
        self._digests: dict[tuple[int, int, int], str] = {}

    def begin(self) -> None:
        """Copies what there is before the first step, so that a store that refuses is noticed.

        Raises:
            ConfigError: The URL has the copy of another run.
            DataError: The store cannot be read or written.
        """
        record = read_record(self.url)
        if record is not None:
            if record.step is not None and record.run_id != self.folder.id:
                raise ConfigError(
                    f"{_KEY}={self.url} has step {record.step} of the run with the id "
                    f"{record.run_id}, but this run has the id {self.folder.id}; set another mirror"
                )
            self._record = record
            self._note_leftovers()
        shutil.rmtree(self.folder.path / SNAPSHOTS, ignore_errors=True)
        snapshot = self._snapshot()
        try:
            self._copy(snapshot)
        finally:
            shutil.rmtree(snapshot, ignore_errors=True)

    def copy(self, step: int) -> None:
        """Copies the files of the run as they are now, in the background."""
        try:
            snapshot = self._snapshot()
        except OSError as error:
            self._error = self._warned(step, error)
            return
        with self._changed:
            if self._waiting is not None:
                shutil.rmtree(self._waiting[0], ignore_errors=True)
            self._waiting = snapshot, step
            self._changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
            self._thread.start()

    def finish(self) -> DataError | None:
        """Waits until everything is copied.

        Returns:
            The error of the last state, if it could not be copied.
        """
        with self._changed:
            while self._waiting is not None or self._is_copying:
                self._changed.wait()
        shutil.rmtree(self.folder.path / SNAPSHOTS, ignore_errors=True)
        return self._error

    def _work(self) -> None:
        while True:
            with self._changed:
                while self._waiting is None:
                    self._changed.wait()
                (snapshot, step), self._waiting, self._is_copying = self._waiting, None, True
            self._error = self._try(snapshot, step)
            with self._changed:
                self._is_copying = False
                self._changed.notify_all()

    def _try(self, snapshot: Path, step: int) -> DataError | None:
        try:
            self._copy(snapshot)
        except Exception as error:
            return self._warned(step, error)
        finally:
            shutil.rmtree(snapshot, ignore_errors=True)
        return None

    def _warned(self, step: int, error: Exception) -> DataError:
        reason = of_os_error(error) if isinstance(error, OSError) else str(error)
        told = DataError(f"{_KEY}: step {step} was not copied: {reason}")
        say(f"warning: {told}", file=sys.stderr)
        return told

    def _snapshot(self) -> Path:
        """Keeps the files as they are now: the next checkpoint replaces them.

        Returns:
            A folder with links to checkpoints, and copies of the files that grow.
        """
        self._number += 1
        folder = self.folder.path / SNAPSHOTS / str(self._number)
        (folder / "checkpoints").mkdir(parents=True)
        for path in sorted(self.folder.checkpoints.glob("[!.]*.ckpt")):
            link_atomically(path, folder / "checkpoints" / path.name)
        for name in TEXT_FILES:
            if (self.folder.path / name).is_file():
                copy_atomically(self.folder.path / name, folder / name)
        return folder

    def _copy(self, snapshot: Path) -> None:
        """Uploads what the store does not have, then the record, and removes what is not in it."""
        known = () if self._record is None else self._record.files
        stored = {file.sha256: file.stored for file in known}
        self._stored |= set(stored.values())
        files = []
        for path in sorted(path for path in snapshot.rglob("*") if path.is_file()):
            name, digest = path.relative_to(snapshot), self._digest(path)
            if digest not in stored:
                place = name.with_name(f"{name.stem}-{digest[:16]}{name.suffix}").as_posix()
                self._stored.add(place)
                remote_files.upload(path, join(self.url, place))
                stored[digest] = place
            size = path.stat().st_size
            files.append(
                MirroredFile(
                    name=name.as_posix(), stored=stored[digest], sha256=digest, num_bytes=size
                )
            )
        record = MirrorRecord(run_id=self.folder.id, step=newest_step(snapshot), files=tuple(files))
        content = record.model_dump_json(indent=2).encode() + b"\n"
        remote_files.write_bytes(join(self.url, RECORD_FILE), content)
        self._record = record
        self._remove(self._stored - {file.stored for file in files})

    def _remove(self, unused: set[str]) -> None:
        for place in sorted(unused):
            try:
                remote_files.remove(join(self.url, place))
            except DataError as error:
                say(f"warning: {_KEY}: {error}", file=sys.stderr)
            self._stored.discard(place)

    def _note_leftovers(self) -> None:
        """Notes what a killed process had uploaded, which the record does not have."""
        with suppress(DataError):
            for file in remote_files.files(self.url):
                place = file.url.removeprefix(join(self.url, ""))
                if is_stored_name(place):
                    self._stored.add(place)

    def _digest(self, path: Path) -> str:
        """Returns a file's SHA-256; a checkpoint that stays is read once."""
        status = path.stat()
        key = (status.st_ino, status.st_size, status.st_mtime_ns)
        if key not in self._digests:
            self._digests[key] = sha256_of_file(path)
        return self._digests[key]
