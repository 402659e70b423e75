"""What holds for `prepare` on each cluster, whatever it is."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clozekit.corpus import pipeline
from clozekit.corpus.manifest import Corpus
from tests.corpus import lost
from tests.corpus.made_texts import config, make_documents, prepare_text, write_jsonl, write_text
from tests.programs.commands import environment_with_tests
from tests.programs.in_process import invoke

PARTITION_BYTES = 3_000
SHARD_TOKENS = 1_000


@contextmanager
def small_partitions() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "PARTITION_BYTES", PARTITION_BYTES)
        yield


def prepare_locally(folder: Path, workers: int) -> Corpus:
    with small_partitions():
        path = write_text(folder / "a.txt", make_documents(120))
        return prepare_text(folder / f"out{workers}", path, **_changes({}, workers))


def prepare_on(executor: dict[str, Any], out: Path, path: Path, task: Any = None) -> Corpus:
    """Prepares a corpus; `task` takes the place of the task that tokenizes."""
    with small_partitions(), pytest.MonkeyPatch.context() as patch, _time_limit():
        if task is not None:
            patch.setattr(pipeline, "tokenize_group", task)
        return prepare_text(out, path, **_changes({"executor": executor}, None))


def begin_locally(out: Path, path: Path) -> None:
    """Does everything before the tasks that tokenize on this machine, which takes a second."""
    with pytest.raises(OSError, match="not now"):
        prepare_on({"engine": "local"}, out, path, lost.stop)


@contextmanager
def waiting_prepare(
    executor: dict[str, Any], out: Path, path: Path
) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    """Starts a process whose tokenizing tasks wait for ever, in two processes.

    Yields:
        The process, and the ids of the two that wait.
    """
    source = {"format": "text", "path": str(path)}
    wanted = config(out, source, **_changes({"executor": executor}, None))
    program = ("-m", "tests.corpus.waiting_prepare")
    command = [sys.executable, *program, wanted.model_dump_json(), str(PARTITION_BYTES)]
    notes = out.parent / "waiting"
    notes.mkdir()
    process = subprocess.Popen(
        command,
        env=environment_with_tests(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: process.poll() is not None or len(list(notes.iterdir())) == 2)
        assert process.poll() is None, process.communicate()[1]
        yield process, [int(note.name) for note in notes.iterdir()]
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(notes)


def check_failing_document(folder: Path, executor: str, *overrides: str) -> None:
    """Checks that the command says the same as on this machine, and leaves the folder free."""
    path = write_jsonl(folder / "a.jsonl", make_documents(20))
    path.write_bytes(path.read_bytes() + b"\n{oops}\n")
    arguments = ["prepare", "source=jsonl", "source.path=a.jsonl", "out=out"]
    here = invoke(*arguments, folder=folder)
    there = invoke(*arguments, f"executor={executor}", *overrides, folder=folder)
    assert (there.code, there.messages) == (here.code, here.messages)
    assert there.code == 2
    assert there.messages[0].startswith("clozekit prepare: a.jsonl:21 is not JSON: ")
    assert len(there.err.splitlines()) == 1
    assert there.out == ""
    assert list((folder / "out").iterdir()) == []


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def _time_limit() -> Iterator[None]:
    """Turns an endless wait for a cluster into a failure."""

    def fail(*_: object) -> None:
        raise AssertionError("it waits for jobs that do not end")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(240)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _changes(more: dict[str, Any], workers: int | None) -> dict[str, Any]:
    return {"shard_tokens": SHARD_TOKENS, "workers": workers} | more
