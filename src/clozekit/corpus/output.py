"""The corpus folder before it is whole: who may write to it, and what may be replaced in it."""

import fcntl
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clozekit.config.prepare import PrepareConfig
from clozekit.corpus.manifest import MANIFEST_FILE, TOKENIZER_FILE, Corpus
from clozekit.corpus.work_folder import Work
from clozekit.errors import ConfigError, UserError
from clozekit.files import leftovers

_LOCK_FILE = ".lock"
_STATE_FILE = "state.json"
_SHARD_FILE = r"(train|validation)-\d{5,}\.arrow"
_CORPUS_FILE = rf"{_SHARD_FILE}|(tokenizer|manifest)\.json"


def finished_corpus(config: PrepareConfig) -> Corpus | None:
    """The corpus, if `out` has one that this configuration made and that is not to be overwritten.

    Raises:
        ConfigError: `out` has a corpus that another configuration made.
        DataError: `out` has a corpus that is damaged or of a newer format.
    """
    out = Path(config.out)
    if config.overwrite or not (out / MANIFEST_FILE).exists():
        return None
    corpus = Corpus.open(out)
    _refuse_other_configuration(config, corpus.manifest.configuration)
    shutil.rmtree(Work(out, config).folder, ignore_errors=True)
    return corpus


@contextmanager
def claim_output(config: PrepareConfig) -> Iterator[Work]:
    """Makes `out` this process' own, with what an unfinished run of the same kind left in it.

    Raises:
        ConfigError: `out` holds something else, belongs to another configuration, or is being
            written by another process.
    """
    work = Work(Path(config.out), config)
    if work.out.exists() and not work.out.is_dir():
        raise ConfigError(f"out={work.out} is a file; give a folder")
    _refuse_foreign_folder(work)
    work.out.mkdir(parents=True, exist_ok=True)
    with _locked(work.out):
        if (work.out / MANIFEST_FILE).exists():
            erase(work)
        elif (work.folder / _STATE_FILE).exists():
            state = work.read_json(_STATE_FILE)
            if config.overwrite and state != config.identity():
                erase(work)
            else:
                _refuse_other_configuration(config, state)
        work.folder.mkdir(exist_ok=True)
        work.write_json(_STATE_FILE, config.identity())
        try:
            yield work
        except UserError:
            # It cannot go on like this, and another configuration must not find the folder taken.
            erase(work)
            shutil.rmtree(work.folder)
            raise


def erase(work: Work) -> None:
    """Removes what belongs to a corpus from the folder, and nothing else."""
    # Without its manifest the folder is no corpus, should this be cut short.
    for name in (MANIFEST_FILE, TOKENIZER_FILE):
        (work.out / name).unlink(missing_ok=True)
    remove_shards(work.out, keep=())
    if work.folder.exists():
        state = work.folder / _STATE_FILE
        for path in work.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path != state:
                path.unlink()


def remove_shards(folder: Path, keep: tuple[str, ...]) -> None:
    """Removes shards, whole or not, other than those to keep."""
    for path in folder.iterdir():
        if re.fullmatch(_SHARD_FILE, path.name) and path.name not in keep:
            path.unlink()
    for path in leftovers(folder, _CORPUS_FILE):
        path.unlink()


def _refuse_foreign_folder(work: Work) -> None:
    if not work.out.exists():
        return
    if (work.out / MANIFEST_FILE).exists():
        Corpus.open(work.out)
        return
    if (work.folder / _STATE_FILE).exists():
        return
    foreign = [path.name for path in work.out.iterdir() if path.name not in (_LOCK_FILE, ".work")]
    if work.folder.is_dir():
        foreign += [path.name for path in work.folder.iterdir() if path.suffix != ".tmp"]
    if foreign:
        raise ConfigError(
            f"out={work.out} holds something else than a corpus ({sorted(foreign)[0]}); "
            "give a new or an empty folder"
        )


def _refuse_other_configuration(config: PrepareConfig, existing: dict[str, Any]) -> None:
    old, new = _flatten(existing), _flatten(config.identity())
    differing = [
        f"{key} is {old.get(key, 'absent')} there and {new.get(key, 'absent')} here"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, "absent") != new.get(key, "absent")
    ]
    if differing:
        raise ConfigError(
            f"out={config.out} has a corpus of another configuration: {'; '.join(differing)}; "
            "give another folder, or overwrite=true"
        )


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    path = folder / _LOCK_FILE
    with path.open("w") as file:
        try:
            # A POSIX lock is not inherited by forked processes, which may outlive this one.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"out={folder} is being written by another process") from None
        try:
            yield
        finally:
            path.unlink()
