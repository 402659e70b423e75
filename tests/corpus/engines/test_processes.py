"""Tasks in processes: all are done, errors come back, and a killed process is told."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from clozekit.corpus.engines.processes import run_in_processes
from clozekit.errors import DataError, WorkerError


@pytest.fixture(autouse=True)
def _time_limit() -> Iterator[None]:
    """Turns an endless wait for a lost process into a failure."""

    def fail(*_: object) -> None:
        raise AssertionError("it waits for a process that is lost")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def note(folder: Path, number: int) -> None:
    (folder / str(number)).write_text(str(os.getpid()))


def kill_at(victim: int, folder: Path, number: int) -> None:
    if number == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    note(folder, number)


def fail(number: int) -> None:
    if number == 0:
        raise DataError("line 3")
    if number == 1:
        raise OSError(28, "No space left on device", "/disk/a")
    raise KeyError(number)


def test_every_task_is_done_once(tmp_path: Path) -> None:
    run_in_processes(partial(note, tmp_path), range(9), 2, [])
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == list(range(9))
    assert str(os.getpid()) not in {path.read_text() for path in tmp_path.iterdir()}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_process_is_told(workers: int, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"was killed by SIGKILL, probably because memory ran"):
        run_in_processes(partial(kill_at, 4, tmp_path), range(9), workers, [])


def test_errors_come_back_as_they_are() -> None:
    with pytest.raises(DataError, match=r"^line 3$"):
        run_in_processes(fail, [0], 2, [])
    with pytest.raises(OSError, match="No space") as raised:
        run_in_processes(fail, [1], 2, [])
    assert (raised.value.errno, raised.value.filename) == (28, "/disk/a")
    with pytest.raises(KeyError) as bug:
        run_in_processes(fail, [2], 2, [])
    assert "raise KeyError(number)" in bug.value.__notes__[0]


def note_variable(folder: Path, number: int) -> None:
    (folder / str(number)).write_text(os.environ.get("CLOZEKIT_TEST_SECRET", "none"))


def test_processes_have_the_environment_of_their_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in_processes(partial(note_variable, tmp_path), range(1), 2, [])
    monkeypatch.setenv("CLOZEKIT_TEST_SECRET", "new")
    run_in_processes(partial(note_variable, tmp_path), range(1, 3), 2, [])
    assert [(tmp_path / str(n)).read_text() for n in range(3)] == ["none", "new", "new"]
