"""What happens to a run from outside: signals, a reader that ends, no shared memory, a twin."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.programs.commands import COMMAND, QUIET, TINY, environment_with_tests

pytestmark = pytest.mark.slow

SLOW = (
    "+callbacks.slow_steps._target_=tests.programs.slow_steps.SlowSteps",
    "+callbacks.slow_steps.seconds=0.1",
)
PRIVATE_SHM = ("unshare", "--map-root-user", "--mount", "bash", "-c")
SMALL_SHM = 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$@"'


def arguments(corpus: Path, *overrides: str) -> list[str]:
    return [
        *(*COMMAND, "train", "name=run", f"data.path={corpus}", *TINY, *QUIET),
        *("global_batch_size=8", "micro_batch_size=8", "max_steps=12", *overrides),
    ]


def start(
    command: list[str], folder: Path, **options: int | Callable[[], None]
) -> subprocess.Popen[str]:
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        command, cwd=folder, env=environment_with_tests(), text=True, **given
    )


def default_hangup() -> None:
    # The tests may have been started with nohup.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def ignored_hangup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def checkpoints(folder: Path) -> Path:
    return folder / "runs" / "run" / "checkpoints"


def train_until_signal(
    number: signal.Signals, again: bool, corpus: Path, folder: Path, nohup: bool = False
) -> subprocess.CompletedProcess[str]:
    """Sends a signal after the first checkpoint, and again and again until the run has ended."""
    command = arguments(corpus, *SLOW, "callbacks.checkpoints.every_n_steps=1", "max_steps=40")
    process = start(command, folder, preexec_fn=ignored_hangup if nohup else default_hangup)
    wait_for(checkpoints(folder) / "last.ckpt")
    process.send_signal(number)
    deadline = time.monotonic() + 60
    while again and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
        process.send_signal(number)
    output, errors = process.communicate(timeout=120)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_comes_again_and_again_changes_nothing(
    number: signal.Signals, corpus: Path, tmp_path: Path
) -> None:
    ended = train_until_signal(number, True, corpus, tmp_path)
    assert (ended.returncode, ended.stderr) == (75, "")
    assert (checkpoints(tmp_path) / "last.ckpt").is_file()


def test_a_run_under_nohup_ignores_the_end_of_the_terminal(corpus: Path, tmp_path: Path) -> None:
    ended = train_until_signal(signal.SIGHUP, False, corpus, tmp_path, nohup=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_twin_is_refused_while_the_first_lives(corpus: Path, tmp_path: Path) -> None:
    command = arguments(
        corpus, "resume=auto", "callbacks.checkpoints.every_n_steps=1", "data.num_workers=1"
    )
    first = start([*command, *SLOW, "max_steps=1000"], tmp_path)
    wait_for(checkpoints(tmp_path) / "last.ckpt")
    twin = start(command, tmp_path)
    output, errors = twin.communicate(timeout=120)
    assert twin.returncode == 2, errors
    assert errors.startswith(
        f"clozekit train: the run runs/run is being trained by process {first.pid} on "
    )
    assert errors.count("\n") == 1

    first.kill()
    first.communicate(timeout=60)
    third = start([*command, "max_steps=1000", "+trainer.max_time=00:00:00:01"], tmp_path)
    output, errors = third.communicate(timeout=120)
    assert third.returncode == 0, errors
    assert "resumed at step " in output


@pytest.mark.parametrize("redirection", ["| head -1", "2>&1 | true", ">/dev/full 2>&-"])
def test_a_run_whose_output_cannot_be_written_goes_on(
    redirection: str, corpus: Path, tmp_path: Path
) -> None:
    command = ["bash", "-o", "pipefail", "-c", f'"$@" {redirection}', "bash", *arguments(corpus)]
    process = start(command, tmp_path)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
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
    process = start([*PRIVATE_SHM, SMALL_SHM, "bash", *command], tmp_path)
    _, errors = process.communicate(timeout=120)
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


def test_a_data_worker_that_is_killed_ends_the_run_and_it_goes_on(
    corpus: Path, tmp_path: Path
) -> None:
    command = arguments(corpus, "resume=auto", "data.num_workers=2", "max_steps=1000")
    process = start([*command, *SLOW, "callbacks.checkpoints.every_n_steps=2"], tmp_path)
    wait_for(checkpoints(tmp_path) / "last.ckpt")
    os.kill(workers_of(process)[0], signal.SIGKILL)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert "was killed by SIGKILL, probably because memory ran out; set data.num_work" in errors
    assert errors.startswith("clozekit train: a data worker (process ")
    assert errors.count("\n") == 1, errors
