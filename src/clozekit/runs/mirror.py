"""The copy of a run in an object store: its record, and how a run is restored from it.

The record names the files of the copy and their checksums. It is written last, and a file has its
checksum in its name, so a copy that was interrupted is never read as a whole one.
"""

import os
import re
import shutil
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from clozekit.errors import ConfigError, DataError
from clozekit.files import locked, sha256_of
from clozekit.output.display import say
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.runs.folder import RUN_LOCK, is_first_process, is_taken
from clozekit.runs.lock import is_held
from clozekit.storage import remote_files
from clozekit.storage.urls import join

FORMAT_VERSION = 1
RECORD_FILE = "mirror.json"

TEXT_FILES = ("config.yaml", "run.json", "metrics.csv", "results.json", "tokenizer.json")
"""The files of a run that are copied beside its checkpoints."""

_NAME = rf"^({'|'.join(map(re.escape, TEXT_FILES))}|checkpoints/[\w-]+\.ckpt)$"
_STORED = r"^(checkpoints/)?[\w-]+-[0-9a-f]{16}\.[a-z]+$"
_MOST_BYTES = 2**24


class MirroredFile(BaseModel):
    """A file of a run.

    Attributes:
        name: Its path in the run's folder.
        stored: Its path in the copy. Files with the same content share it.
        sha256: Its SHA-256.
        num_bytes: Its size.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=_NAME)
    stored: str = Field(pattern=_STORED)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    num_bytes: NonNegativeInt


class MirrorRecord(BaseModel):
    """What a copy of a run has.

    Attributes:
        format_version: The version of the format.
        run_id: The id of the run.
        step: The step of its newest checkpoint; None if it has none.
        files: Its files.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Annotated[int, Field(ge=1)] = FORMAT_VERSION
    run_id: str
    step: NonNegativeInt | None
    files: tuple[MirroredFile, ...]


def read_record(url: str) -> MirrorRecord | None:
    """Reads the record of a copy; None if there is no copy.

    Raises:
        DataError: It cannot be read, or is damaged.
    """
    file = join(url, RECORD_FILE)
    if not remote_files.exists(file):
        return None
    try:
        record = MirrorRecord.model_validate_json(remote_files.read_bytes(file, most=_MOST_BYTES))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(f"{file} is damaged: {where}: {first['msg']}") from None
    if record.format_version > FORMAT_VERSION:
        raise DataError(
            f"{file} has format version {record.format_version}, but this version of clozekit "
            f"reads up to {FORMAT_VERSION}"
        )
    return record


def find_copy(url: str, folder: Path, resume: str | None) -> None:
    """Restores a run that is resumed from its copy; checks that a new run has none.

    Args:
        url: The URL of the copy.
        folder: The run's folder.
        resume: `auto` to resume from the newest checkpoint; None for a new run. For a run that is
            resumed from a named checkpoint nothing is done.

    Raises:
        ConfigError: The copy is of a new run's name, or has a later checkpoint than the folder.
        DataError: The copy cannot be read, or is damaged.
    """
    if resume == "auto":
        restore(url, folder)
    elif resume is None and is_first_process():
        check_is_free(url)


def check_is_free(url: str) -> None:
    """Checks that a new run would not replace the copy of another one.

    Raises:
        ConfigError: There is a copy with a checkpoint.
    """
    record = read_record(url)
    if record is not None and record.step is not None:
        raise ConfigError(
            f"callbacks.checkpoints.mirror={url} has step {record.step} of the run with the id "
            f"{record.run_id}; set resume=auto to continue it, or another mirror"
        )


def restore(url: str, folder: Path) -> None:
    """Restores a run's folder from its copy, if there is a copy and no folder.

    All processes of a run may call it; the first one does it.

    Args:
        url: The URL of the copy.
        folder: The run's folder.

    Raises:
        ConfigError: The folder exists, and the copy has a later checkpoint.
        DataError: The copy cannot be read, or is damaged.
    """
    record = read_record(url)
    if record is None or record.step is None:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A run's own name may be as long as a name can be.
    own = folder.with_name(f".restore-{sha256_of([folder.name.encode()])[:16]}")
    lock = own.with_suffix(".lock")
    with locked(lock):
        try:
            if is_taken(folder):
                _check_is_older(url, record.step, folder)
            else:
                _download(url, record, folder, own)
                say(f"restored {folder} at step {record.step} from {url}")
        finally:
            lock.unlink(missing_ok=True)


def newest_step(folder: Path) -> int | None:
    """Returns the step of the newest complete checkpoint in a run's folder; None if it has none."""
    newest = None
    for path in (folder / "checkpoints").glob("[!.]*.ckpt"):
        try:
            step = load_checkpoint(path).step
        except DataError:
            continue
        newest = step if newest is None else max(newest, step)
    return newest


def is_stored_name(name: str) -> bool:
    """Whether a path in a copy is one that a file of a run can have."""
    return re.fullmatch(_STORED, name) is not None


def _check_is_older(url: str, step: int, folder: Path) -> None:
    newest = newest_step(folder)
    if newest is None or newest < step:
        state = "no complete checkpoint" if newest is None else f"only step {newest}"
        raise ConfigError(
            f"{folder} has {state}, but callbacks.checkpoints.mirror={url} has step {step}; move "
            "the folder away to continue from the mirror, or set the mirror to null"
        )


def _download(url: str, record: MirrorRecord, folder: Path, temporary: Path) -> None:
    # What a process had downloaded that was killed.
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for file in record.files:
            source, target = join(url, file.stored), temporary / file.name
            digest = remote_files.download(source, target)
            if digest != file.sha256:
                raise DataError(
                    f"{source} is damaged: its SHA-256 is {digest[:12]}…, but {RECORD_FILE} has "
                    f"{file.sha256[:12]}…"
                )
        lock = folder / RUN_LOCK
        if lock.exists() and not is_held(lock):
            lock.unlink()  # of a start that was killed; the folder has nothing else
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
