"""A corpus that is written to a store: what is there already, and claiming and removing it.

Tasks write shards to the work folder and upload them. Until the corpus is finished, a marker among
them tells which work folder they belong to. Stores have no locks; the lock is beside the work
folder.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from clozekit.config.prepare import PrepareConfig
from clozekit.corpus.manifest import (
    MANIFEST_FILE,
    SHARD_FILE,
    SPLITS,
    TOKENIZER_FILE,
    Manifest,
    parse_manifest,
)
from clozekit.errors import ConfigError, DataError
from clozekit.storage import remote_files
from clozekit.storage.urls import join

MARKER_FILE = ".preparing.json"


@dataclass(frozen=True)
class PreparedCorpus:
    """A finished corpus in a store.

    Attributes:
        url: Its folder.
        manifest: Its manifest.
    """

    url: str
    manifest: Manifest

    @classmethod
    def open(cls, url: str) -> "PreparedCorpus | None":
        """Reads the manifest of a corpus; None if there is none.

        Raises:
            DataError: The corpus is damaged or has a newer format, or cannot be read.
        """
        names = remote_files.names(url)
        if MANIFEST_FILE not in names:
            return None
        path = join(url, MANIFEST_FILE)
        manifest = parse_manifest(remote_files.read_bytes(path), path)
        shards = [shard.file for split in SPLITS for shard in manifest.splits[split].shards]
        if missing := sorted({TOKENIZER_FILE, *shards} - set(names)):
            raise DataError(f"{join(url, missing[0])} does not exist, but {path} lists it")
        return cls(url, manifest)

    @property
    def hash(self) -> str:
        """A hexadecimal hash of the content of all shards and the tokenizer."""
        return self.manifest.hash


class Marker(NamedTuple):
    """What the marker of an unfinished corpus says.

    Attributes:
        configuration: The configuration of the corpus.
        work_dir: The absolute path of its `work_dir`.
    """

    configuration: dict[str, Any]
    work_dir: str

    @classmethod
    def of(cls, config: PrepareConfig) -> "Marker":
        """Returns the marker of a configuration."""
        return cls(config.identity(), str(Path(config.work_dir or "").resolve()))


def marker_of(config: PrepareConfig) -> Marker | None:
    """Reads the marker in `out`; None if there is none.

    Raises:
        DataError: It is not a marker, or cannot be read.
    """
    path = join(config.out, MARKER_FILE)
    if not remote_files.exists(path):
        return None
    try:
        marker = json.loads(remote_files.read_bytes(path))
        return Marker(dict(marker["configuration"]), str(marker["work_dir"]))
    except (ValueError, TypeError, KeyError):
        raise DataError(f"{path} is not from clozekit; use another folder") from None


def refuse_foreign_files(config: PrepareConfig) -> None:
    """Checks that a folder without a marker is empty.

    Raises:
        ConfigError: It is not.
        DataError: The store cannot be read.
    """
    if names := remote_files.names(config.out):
        raise ConfigError(
            f"out={config.out} contains files that are not from a corpus ({names[0]}); use a new "
            "or an empty folder"
        )


def refuse_other_work_dir(config: PrepareConfig, there: Marker) -> None:
    """Checks that an unfinished corpus in the store is that of this configuration's `work_dir`.

    Raises:
        ConfigError: It is another's, which may still be written.
    """
    if there.work_dir != Marker.of(config).work_dir:
        raise ConfigError(
            f"out={config.out} is being prepared, or was, with work_dir={there.work_dir}; go on "
            "with that one, or set overwrite=true to start again if no other process writes to it"
        )


def mark(config: PrepareConfig) -> None:
    """Marks the folder as that of this configuration, which also shows that it can be written.

    Raises:
        DataError: It cannot be written.
    """
    content = json.dumps(Marker.of(config)._asdict(), indent=2, ensure_ascii=False).encode() + b"\n"
    remote_files.write_bytes(join(config.out, MARKER_FILE), content)


def unmark(config: PrepareConfig) -> None:
    """Removes the marker, if there is one."""
    path = join(config.out, MARKER_FILE)
    # Someone who may not write can still be told that the corpus is finished.
    if remote_files.exists(path):
        remote_files.remove(path)


def remove_stored(config: PrepareConfig, keep: tuple[str, ...] = ()) -> None:
    """Removes the files of a corpus from the store, except those to keep, and nothing else."""
    names = [name for name in remote_files.names(config.out) if name not in keep]
    # The manifest goes first, so that an interrupted removal does not leave a corrupt corpus.
    for name in sorted(names, key=lambda name: name != MANIFEST_FILE):
        if name in (MANIFEST_FILE, TOKENIZER_FILE) or re.fullmatch(SHARD_FILE, name):
            remote_files.remove(join(config.out, name))
