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

from tests.programs.commands import COMMAND, QUIET, TINY, environment_with_tests

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
        *(*COMMAND, "train", "name=run", f"data.path={corpus}", *TINY, *QUIET),
        *("global_batch_size=8", "micro_batch_size=8", "max_steps=12", *overrides),
    ]


Starter = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts a command in the test's folder, in a session that is killed after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(command: list[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment_with_tests(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_end_on_hangup,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end_on_hangup() -> None:
    # The tests may have been started with nohup.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


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
            process.send_signal(number)
            time.sleep(0.02)
    _, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, errors) == (75, "")


def test_a_twin_is_refused_while_the_first_lives(
    start: Starter, corpus: Path, tmp_path: Path
) -> None:
    command = arguments(
        corpus, "resume=auto", "callbacks.checkpoints.every_n_steps=1", "data.num_workers=1"
    )
    first = start([*command, *SLOW, "max_steps=10000"])
    wait_for(checkpoints(tmp_path) / "last.ckpt")
    twin = start(command)
    _, errors = twin.communicate(timeout=SECONDS)
    assert twin.returncode == 2, errors
    assert errors.startswith(
        f"clozekit train: the run runs/run is being trained by process {first.pid} on "
    )
    assert errors.count("\n") == 1

    first.kill()
    first.wait()
    # Its data worker may still live.
    third = start([*command, "max_steps=10000", "+trainer.max_time=00:00:00:01"])
    output, errors = third.communicate(timeout=SECONDS)
    assert third.returncode == 0, errors
    assert "resumed at step " in output


@pytest.mark.parametrize("redirection", ["2>&1 | head -1", ">/dev/full 2>&-"])
def test_a_run_whose_output_cannot_be_written_goes_on(
    redirection: str, start: Starter, corpus: Path, tmp_path: Path
) -> None:
    command = ["bash", "-o", "pipefail", "-c", f'"$@" {redirection}', "bash", *arguments(corpus)]
    process = start(command)
    _, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, errors) == (0, "")
    results = json.loads((tmp_path / "runs" / "run" / "results.json").read_text())
    assert results["step"] == 12


def can_have_own_shared_memory() -> bool:
    if shutil.which("unshare") is None:
        return False
    command = [*PRIVATE_SHM, SMALL_SHM, "bash", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_have_own_shared_memory(), reason="no mount namespaces here")
def test_shared_memory_that_is_too_small_ends_the_run(
    start: Starter, corpus: Path, tmp_path: Path
) -> None:
    command = arguments(
        corpus, "data.num_workers=2", "global_batch_size=512", "micro_batch_size=512"
    )
    process = start([*PRIVATE_SHM, SMALL_SHM, "bash", *command])
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 1, errors
    assert errors.startswith("clozekit train: a data worker ") and "/dev/shm" in errors
    assert errors.count("\n") == 1, errors
    assert not checkpoints(tmp_path).exists()


def workers_of(process: subprocess.Popen[str]) -> list[int]:
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
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 1, errors
    assert "was killed by SIGKILL, probably because memory ran out; set data.num_work" in errors
    assert errors.startswith("clozekit train: a data worker (process ")
    assert errors.count("\n") == 1, errors
