"""What happens to a run from outside: signals, a reader that ends, no shared memory, a twin."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.command_server import Command
from tests.programs.commands import (
    COMMAND,
    QUIET,
    TINY,
    environment_with_tests,
    start_clozekit,
)

pytestmark = pytest.mark.slow

SLOW = (
    "+callbacks.slow_steps._target_=tests.programs.slow_steps.SlowSteps",
    "+callbacks.slow_steps.seconds=0.1",
)
SECONDS = 300
"""How long a command may take: the tests may share the machine."""

PRIVATE_SHM = ("unshare", "--map-root-user", "--mount", "bash", "-c")
SMALL_SHM = 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$@"'


def arguments(corpus: Path, *overrides: str) -> list[str]:
    return [
        *("train", "name=run", f"data.path={corpus}", *TINY, *QUIET),
        *("global_batch_size=8", "micro_batch_size=8", "max_steps=12", *overrides),
    ]


Starter = Callable[[list[str]], Command]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts a command in the test's folder, in a process group that is killed after the test."""
    started: list[Command] = []

    def start(command: list[str]) -> Command:
        number = len(started)
        files = [tmp_path / f"{name}{number}" for name in ("output", "errors")]
        started.append(start_clozekit(*command, cwd=tmp_path, output=files[0], errors=files[1]))
        return started[-1]

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def errors_of(folder: Path, number: int = 0) -> str:
    """What the command of this number printed to stderr."""
    return (folder / f"errors{number}").read_text()


def run_in_shell(command: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Runs a command where the start of the interpreter matters."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment_with_tests(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def checkpoints(folder: Path) -> Path:
    return folder / "runs" / "run" / "checkpoints"


def test_signals_that_come_again_and_again_change_nothing(
    start: Starter, corpus: Path, tmp_path: Path
) -> None:
    every_step = "callbacks.checkpoints.every_n_steps=1"
    process = start(arguments(corpus, *SLOW, every_step, "max_steps=10000"))
    wait_for(checkpoints(tmp_path) / "last.ckpt")
    while process.poll() is None:
        for number in (signal.SIGHUP, signal.SIGTERM):
            os.kill(process.pid, number)
            time.sleep(0.02)
    assert (process.returncode, errors_of(tmp_path)) == (75, "")


def test_a_twin_is_refused_while_the_first_lives(
    start: Starter, corpus: Path, tmp_path: Path
) -> None:
    command = arguments(
        corpus, "resume=auto", "callbacks.checkpoints.every_n_steps=1", "data.num_workers=1"
    )
    first = start([*command, *SLOW, "max_steps=10000"])
    wait_for(checkpoints(tmp_path) / "last.ckpt")
    code = start(command).wait(SECONDS)
    errors = errors_of(tmp_path, 1)
    assert code == 2, errors
    assert errors.startswith(
        f"clozekit train: the run runs/run is being trained by process {first.pid} on "
    )
    assert errors.count("\n") == 1

    first.kill()
    first.wait(SECONDS)
    # Its data worker may still live.
    third = start([*command, "max_steps=10000", "+trainer.max_time=00:00:00:01"])
    assert third.wait(SECONDS) == 0, errors_of(tmp_path, 2)
    assert "resumed at step " in (tmp_path / "output2").read_text()


def test_a_run_goes_on_when_the_reader_of_its_output_has_ended(
    corpus: Path, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = start_clozekit(*arguments(corpus), cwd=tmp_path, output=pipe)
    with pipe.open() as reader:
        assert reader.readline()
    assert process.wait(SECONDS) == 0
    results = json.loads((tmp_path / "runs" / "run" / "results.json").read_text())
    assert results["step"] == 12


def test_a_run_whose_output_cannot_be_written_goes_on(corpus: Path, tmp_path: Path) -> None:
    shell = ["bash", "-c", '"$@" >/dev/full 2>&-', "bash"]
    finished = run_in_shell([*shell, *COMMAND, *arguments(corpus)], tmp_path)
    assert (finished.returncode, finished.stderr) == (0, "")
    results = json.loads((tmp_path / "runs" / "run" / "results.json").read_text())
    assert results["step"] == 12


def can_have_own_shared_memory() -> bool:
    if shutil.which("unshare") is None:
        return False
    command = [*PRIVATE_SHM, SMALL_SHM, "bash", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_have_own_shared_memory(), reason="no mount namespaces here")
def test_shared_memory_that_is_too_small_ends_the_run(corpus: Path, tmp_path: Path) -> None:
    command = arguments(
        corpus, "data.num_workers=2", "global_batch_size=512", "micro_batch_size=512"
    )
    finished = run_in_shell([*PRIVATE_SHM, SMALL_SHM, "bash", *COMMAND, *command], tmp_path)
    errors = finished.stderr
    assert finished.returncode == 1, errors
    assert errors.startswith("clozekit train: a data worker ") and "/dev/shm" in errors
    assert errors.count("\n") == 1, errors
    assert not checkpoints(tmp_path).exists()


def workers_of(process: Command) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(number) for number in listed.stdout.split()]


def test_a_data_worker_that_is_killed_ends_the_run(
    start: Starter, corpus: Path, tmp_path: Path
) -> None:
    command = arguments(corpus, "resume=auto", "data.num_workers=2", "max_steps=10000")
    process = start([*command, *SLOW, "callbacks.checkpoints.every_n_steps=2"])
    wait_for(checkpoints(tmp_path) / "last.ckpt")
    os.kill(workers_of(process)[0], signal.SIGKILL)
    code, errors = process.wait(SECONDS), errors_of(tmp_path)
    assert code == 1, errors
    assert "was killed by SIGKILL, probably because memory ran out; set data.num_work" in errors
    assert errors.startswith("clozekit train: a data worker (process ")
    assert errors.count("\n") == 1, errors
