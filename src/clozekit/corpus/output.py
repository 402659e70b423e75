"""The output folder of an unfinished corpus: locking it, and checking and removing its content."""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from clozekit.config.prepare import PrepareConfig
from clozekit.corpus.engines.slurm_executor import end_jobs
from clozekit.corpus.manifest import MANIFEST_FILE, SHARD_FILE, TOKENIZER_FILE, Corpus, Manifest
from clozekit.corpus.stored_output import (
    PreparedCorpus,
    mark,
    marker_of,
    refuse_foreign_files,
    refuse_other_work_dir,
    remove_stored,
    unmark,
)
from clozekit.corpus.work_folder import PLAN_FILE, WORK_FOLDER, Work
from clozekit.errors import ConfigError, ExecutorError, StoreError, UserError
from clozekit.files import leftovers, open_lock_file, refuse_links
from clozekit.storage.urls import is_url

_LOCK_FILE = ".lock"
_STATE_FILE = "state.json"
_CORPUS_FILE = rf"{SHARD_FILE}|(tokenizer|manifest)\.json"


def finished_corpus(config: PrepareConfig) -> Corpus | PreparedCorpus | None:
    """Returns the finished corpus in `out`, if any; None if it should be overwritten.

    Raises:
        ConfigError: `out` contains a corpus with another configuration, or of a source or tokenizer
            that has changed since.
        DataError: `out` contains a corpus that is damaged or has a newer format.
    """
    if config.overwrite:
        return None
    corpus = _corpus_there(config)
    if corpus is not None:
        _refuse_other_configuration(config, corpus.manifest.configuration)
        _refuse_other_inputs(config, corpus.manifest)
        release(Work.of(config))
    return corpus


def release(work: Work) -> None:
    """Removes what a finished corpus does not need."""
    # It does not follow a link.
    shutil.rmtree(work.folder, ignore_errors=True)
    if work.is_stored:
        unmark(work.config)


@contextmanager
def claim_output(config: PrepareConfig) -> Iterator[Work]:
    """Locks `out` for this process, and keeps the results of an interrupted run if they are usable.

    Raises:
        ConfigError: `out` contains something else or another configuration's corpus, or is being
            written by another process.
        DataError: `out` is in a store, which cannot be written.
        ExecutorError: Jobs of an earlier start do not end.
    """
    work = Work.of(config)
    _refuse_other_files(work)
    lock = work.folder.with_name(f".{work.folder.name}.lock")
    if not work.is_stored:
        _refuse_foreign_folder(work)
        work.out.mkdir(parents=True, exist_ok=True)
        lock = work.out / _LOCK_FILE
    lock.parent.mkdir(parents=True, exist_ok=True)
    with _locked(lock, config.out):
        end_jobs(work)  # of a process that was killed
        if work.is_stored:
            _keep_usable_of_store(work)
        else:
            _keep_usable(work)
        work.folder.mkdir(parents=True, exist_ok=True)
        work.out.mkdir(exist_ok=True)
        work.write_json(_STATE_FILE, config.identity())
        try:
            if work.is_stored:
                mark(config)
            yield work
        except ExecutorError:
            raise
        except UserError as error:
            # The run cannot continue, and its remains would block a corrected configuration. A
            # store that cannot be reached is another matter, once there is something to keep.
            if not (isinstance(error, StoreError) and (work.folder / PLAN_FILE).exists()):
                with suppress(StoreError):
                    erase(work)
                shutil.rmtree(work.folder)
                with suppress(StoreError):
                    release(work)
            raise


def erase(work: Work) -> None:
    """Removes the files of a corpus, and nothing else."""
    # The manifest goes first, so that an interrupted removal does not leave a corrupt corpus.
    for name in (MANIFEST_FILE, TOKENIZER_FILE):
        (work.out / name).unlink(missing_ok=True)
    _remove_shards(work.out, keep=())
    if work.folder.exists():
        state = work.folder / _STATE_FILE
        for path in work.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path != state:
                path.unlink()
        work.out.mkdir(exist_ok=True)
    if work.is_stored:
        remove_stored(work.config)


def remove_other_shards(work: Work, keep: tuple[str, ...]) -> None:
    """Removes shards and partly written files, except the shards to keep."""
    if work.is_stored:
        remove_stored(work.config, keep)
    _remove_shards(work.out, keep)


def _remove_shards(folder: Path, keep: tuple[str, ...]) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        if re.fullmatch(SHARD_FILE, path.name) and path.name not in keep:
            path.unlink()
    for path in leftovers(folder, _CORPUS_FILE):
        path.unlink()


def _corpus_there(config: PrepareConfig) -> Corpus | PreparedCorpus | None:
    if is_url(config.out):
        return PreparedCorpus.open(config.out)
    out = Path(config.out)
    return Corpus.open(out) if (out / MANIFEST_FILE).exists() else None


def _keep_usable(work: Work) -> None:
    """Removes what is in the folder already, unless this run can use it."""
    state = _state(work)
    if (work.out / MANIFEST_FILE).exists():
        erase(work)
    elif state is not None:
        _keep_same(work, state)


def _keep_usable_of_store(work: Work) -> None:
    """Removes what is in the store and in the work folder already, unless this run can use it."""
    state, config = _state(work), work.config
    if PreparedCorpus.open(config.out) is not None:
        erase(work)
        return
    there = marker_of(config)
    if there is None:
        refuse_foreign_files(config)
        if state == config.identity():
            work.forget_shards()  # Somebody has emptied the folder in the store.
        elif state is not None:
            erase(work)
        return
    if not config.overwrite:
        refuse_other_work_dir(config, there)
    _keep_same(work, there.configuration)
    if state != there.configuration:
        erase(work)  # The results of this run are gone, or were another's.


def _keep_same(work: Work, configuration: dict[str, Any]) -> None:
    """Removes an unfinished corpus if its configuration is another and it should be overwritten."""
    if work.config.overwrite and configuration != work.config.identity():
        erase(work)
    else:
        _refuse_other_configuration(work.config, configuration)


def _state(work: Work) -> dict[str, Any] | None:
    return work.read_json(_STATE_FILE) if (work.folder / _STATE_FILE).exists() else None


def _refuse_other_files(work: Work) -> None:
    if not work.is_stored and work.out.exists() and not work.out.is_dir():
        raise ConfigError(f"out={work.out} is a file; it should be a folder")
    refuse_links(work.folder)
    if work.folder.exists() and not work.folder.is_dir():
        where = f"out={work.out}" if work.config.work_dir is None else work.config.work_dir
        raise ConfigError(f"{where} contains a file {work.folder.name}; use another folder")


def _refuse_foreign_folder(work: Work) -> None:
    if not work.out.exists():
        return
    if (work.out / MANIFEST_FILE).exists():
        Corpus.open(work.out)
        return
    if (work.folder / _STATE_FILE).exists():
        return
    foreign = [
        path.name for path in work.out.iterdir() if path.name not in (_LOCK_FILE, WORK_FOLDER)
    ]
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


def _refuse_other_inputs(config: PrepareConfig, manifest: Manifest) -> None:
    # A heavy import, which is not needed to reject a folder.
    from clozekit.corpus.inputs import changed_input

    changed = changed_input(config, manifest.inputs)
    if changed is not None:
        raise ConfigError(
            f"{changed} has changed since out={config.out} was prepared from it; use another "
            "folder, or overwrite=true"
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
def _locked(path: Path, out: str) -> Iterator[None]:
    with os.fdopen(open_lock_file(path), "r+b", buffering=0) as file:
        try:
            # A POSIX lock is not inherited by forked processes, which may outlive this one.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"out={out} is being written by another process") from None
        try:
            yield
        finally:
            path.unlink()
