"""The output folder of an unfinished corpus: locking it, and checking and removing its content."""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clozekit.config.prepare import PrepareConfig
from clozekit.corpus.manifest import MANIFEST_FILE, TOKENIZER_FILE, Corpus
from clozekit.corpus.slurm_executor import end_jobs
from clozekit.corpus.work_folder import Work
from clozekit.errors import ConfigError, ExecutorError, UserError
from clozekit.files import leftovers, open_lock_file, refuse_links

_LOCK_FILE = ".lock"
_STATE_FILE = "state.json"
_SHARD_FILE = r"(train|validation)-\d{5,}\.arrow"
_CORPUS_FILE = rf"{_SHARD_FILE}|(tokenizer|manifest)\.json"


def finished_corpus(config: PrepareConfig) -> Corpus | None:
    """Returns the finished corpus in `out`, if any; None if it should be overwritten.

    Raises:
        ConfigError: `out` contains a corpus with another configuration.
        DataError: `out` contains a corpus that is damaged or has a newer format.
    """
    out = Path(config.out)
    if config.overwrite or not (out / MANIFEST_FILE).exists():
        return None
    corpus = Corpus.open(out)
    _refuse_other_configuration(config, corpus.manifest.configuration)
    # It does not follow a link.
    shutil.rmtree(Work(out, config).folder, ignore_errors=True)
    return corpus


@contextmanager
def claim_output(config: PrepareConfig) -> Iterator[Work]:
    """Locks `out` for this process, and keeps the results of an interrupted run if they are usable.

    Raises:
        ConfigError: `out` contains something else or another configuration's corpus, or is being
            written by another process.
    """
    # A process on another machine may have another current folder.
    work = Work(Path(config.out).absolute(), config)
    if work.out.exists() and not work.out.is_dir():
        raise ConfigError(f"out={work.out} is a file; it should be a folder")
    refuse_links(work.folder)
    if work.folder.exists() and not work.folder.is_dir():
        raise ConfigError(f"out={work.out} contains a file {work.folder.name}; use another folder")
    _refuse_foreign_folder(work)
    work.out.mkdir(parents=True, exist_ok=True)
    with _locked(work.out):
        end_jobs(work)  # of a process that was killed
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
        except ExecutorError:
            raise
        except UserError:
            # The run cannot continue, and its remains would block a corrected configuration.
            erase(work)
            shutil.rmtree(work.folder)
            raise


def erase(work: Work) -> None:
    """Removes the files of a corpus from the folder, and nothing else."""
    # The manifest goes first, so that an interrupted removal does not leave a corrupt corpus.
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
    """Removes shards and partly written files, except the shards to keep."""
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
            f"out={work.out} contains files that are not from a corpus ({sorted(foreign)[0]}); "
            "use a new or an empty folder"
        )


def _refuse_other_configuration(config: PrepareConfig, existing: dict[str, Any]) -> None:
    old, new = _flatten(existing), _flatten(config.identity())
    differing = [
        f"{key} was {old.get(key, 'absent')} and is now {new.get(key, 'absent')}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, "absent") != new.get(key, "absent")
    ]
    if differing:
        raise ConfigError(
            f"out={config.out} contains a corpus with another configuration: "
            f"{'; '.join(differing)}; use another folder, or overwrite=true"
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
    with os.fdopen(open_lock_file(path), "r+b", buffering=0) as file:
        try:
            # A POSIX lock is not inherited by forked processes, which may outlive this one.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"out={folder} is being written by another process") from None
        try:
            yield
        finally:
            path.unlink()
