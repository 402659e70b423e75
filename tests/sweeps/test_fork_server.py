"""The process that forks jobs: what happens while it is not ready, and when it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clozekit.runs.lock import Lock
from clozekit.sweeps import fork_server_process
from clozekit.sweeps.fork_server import ForkServer
from clozekit.sweeps.job import Job
from clozekit.sweeps.processes import LocalJob
from tests.programs.commands import train_config

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="jobs are forked on Linux"
)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    config = train_config("name=mine", f"runs_dir={tmp_path}", "data.path=a", "max_steps=1")
    return Job("seed-0", ("seed=0",), ("--version",), config)


@pytest.fixture
def server() -> Iterator[ForkServer]:
    made = ForkServer()
    yield made
    made.close()


def process_of(server: ForkServer) -> "subprocess.Popen[bytes]":
    assert server._process is not None
    return server._process


def end_of(running: LocalJob) -> int:
    deadline = time.monotonic() + 60
    while (code := running.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_job_that_has_not_begun_can_be_stopped(
    number: signal.Signals, job: Job, server: ForkServer
) -> None:
    running = LocalJob(job, os.environ, print, server)
    assert running.poll() is None
    running.stop(number)
    assert running.poll() == -number
    assert job.status_after(-number) == "interrupted"
    assert job.log_file.read_text() == ""
    assert Lock(job.lock_file).acquire()


def test_a_job_that_has_not_begun_can_be_killed(job: Job, server: ForkServer) -> None:
    running = LocalJob(job, os.environ, print, server)
    running.kill()
    assert running.poll() == -signal.SIGKILL
    assert process_of(server).returncode == -signal.SIGKILL


def test_jobs_are_new_processes_once_the_server_is_lost(job: Job, server: ForkServer) -> None:
    running = LocalJob(job, os.environ, print, server)
    process_of(server).kill()
    assert end_of(running) == 0
    log = job.log_file.read_text()
    assert log.startswith("$ clozekit --version\nclozekit ") and log.count("$") == 1
    assert end_of(LocalJob(job, os.environ, print, server)) == 0
    assert job.log_file.read_text() == log * 2


def test_imports_that_fail_leave_it_to_the_job_to_say_so(
    job: Job, server: ForkServer, tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text("raise RuntimeError('damaged')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert end_of(LocalJob(job, environment, print, server)) == 0
    assert process_of(server).poll() is not None
    assert "damaged" not in job.log_file.read_text()


def test_another_environment_needs_another_process(
    job: Job, server: ForkServer, tmp_path: Path
) -> None:
    given = (job.arguments, job.log_file)
    lock = Lock(job.lock_file)
    assert lock.acquire()
    assert server.start(*given, {**os.environ, "CUDA_VISIBLE_DEVICES": "0"}, lock) is not None
    assert server.start(*given, {**os.environ, "CUDA_VISIBLE_DEVICES": "1"}, lock) is not None
    assert server.start(*given, {**os.environ, "OMP_NUM_THREADS": "7"}, lock) is None
    lock.release()


def test_nothing_is_forked_on_other_systems(
    job: Job, server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert end_of(LocalJob(job, os.environ, print, server)) == 0
    assert server._process is None


def test_a_server_that_was_not_needed_has_nothing_to_close() -> None:
    ForkServer().close()


def test_numpys_random_state_is_renewed() -> None:
    before = np.random.get_state()
    np.random.seed(0)
    expected = np.random.random()
    np.random.seed(0)
    fork_server_process._renew_random_states()
    drawn = np.random.random()
    np.random.set_state(before)
    assert drawn != expected
