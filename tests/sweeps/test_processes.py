"""A job's process: its lock, its signals, and that nothing of it is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clozekit.runs.lock import Lock
from clozekit.sweeps.job import Job
from clozekit.sweeps.processes import LocalJob, job_environment, start_process
from tests.programs.commands import train_config


@pytest.fixture
def job(tmp_path: Path) -> Job:
    config = train_config("name=mine", f"runs_dir={tmp_path}", "data.path=a", "max_steps=1")
    return Job("seed-0", ("seed=0",), ("--version",), config)


def wait_until(holds: object, seconds: float = 60) -> None:
    assert callable(holds)
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def holder(job: Job) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that holds the job's lock, as an earlier start of it would."""
    code = (
        "import sys, time; from pathlib import Path; from clozekit.runs.lock import Lock; "
        "lock = Lock(Path(sys.argv[1])); assert lock.acquire(); lock.sign(77); "
        "print('held', flush=True); time.sleep(100)"
    )
    command = [sys.executable, "-c", code, str(job.lock_file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()


def test_a_job_waits_for_an_earlier_start_of_it(
    job: Job, holder: "subprocess.Popen[bytes]"
) -> None:
    said: list[str] = []
    running = LocalJob(job, os.environ, said.append)
    assert len(said) == 1 and said[0].startswith("seed-0: waiting for process 77 on ")
    assert [running.poll() for _ in range(3)] == [None, None, None]
    assert not job.log_file.exists()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    wait_until(lambda: running.poll() is not None)
    assert running.poll() == 0
    assert job.log_file.read_text().startswith("$ clozekit --version\nclozekit ")


def test_a_job_that_an_earlier_start_finishes_is_not_started(
    job: Job, holder: "subprocess.Popen[bytes]"
) -> None:
    running = LocalJob(job, os.environ, lambda line: None)
    (job.folder / "results.json").write_text('{"step": 1}')
    assert running.poll() is None, "it may still be writing"
    holder.kill()
    holder.wait()
    assert running.poll() == 0
    assert not job.log_file.exists()


def test_a_job_that_waits_can_be_stopped(job: Job, holder: "subprocess.Popen[bytes]") -> None:
    running = LocalJob(job, os.environ, lambda line: None)
    running.stop(signal.SIGINT)
    exit_code = running.poll()
    assert exit_code == 130
    assert job.status_after(exit_code) == "interrupted"


PARENT = """
import os, sys, time
from pathlib import Path
from clozekit.sweeps import processes
from clozekit.runs.lock import Lock

processes.sys.executable = sys.argv[1]
lock = Lock(Path("lock"))
assert lock.acquire()
process = processes.start_process((), Path("log"), os.environ, lock)
lock.release()
Path("pid").write_text(str(process.pid))
time.sleep(100)
"""

CHILD = """#!/bin/sh
trap 'echo saved; exit 75' TERM
echo begun
while true; do sleep 0.05; done
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's signal is Linux's")
def test_a_job_is_told_to_end_when_its_sweep_is_killed(tmp_path: Path) -> None:
    child = tmp_path / "child.sh"
    child.write_text(CHILD)
    child.chmod(0o755)
    command = [sys.executable, "-c", PARENT, str(child)]
    parent = subprocess.Popen(command, cwd=tmp_path)
    log = tmp_path / "log"
    wait_until(lambda: log.exists() and "begun" in log.read_text())
    assert not Lock(tmp_path / "lock").acquire(), "the job holds it"
    parent.kill()
    parent.wait()
    wait_until(lambda: "saved" in log.read_text())
    wait_until(Lock(tmp_path / "lock").acquire)


def test_a_jobs_environment_tells_no_rank_and_its_group() -> None:
    given = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "HOME": "/home/me"}
    assert job_environment("lr", given) == {
        "HOME": "/home/me",
        "WANDB_RUN_GROUP": "lr",
    }
    assert job_environment("lr", {"WANDB_RUN_GROUP": "mine"})["WANDB_RUN_GROUP"] == "mine"


def test_a_log_keeps_what_earlier_starts_printed(job: Job) -> None:
    for _ in range(2):
        start_process(("--version",), job.log_file, os.environ).wait()
    assert job.log_file.read_text().count("$ clozekit --version\n") == 2
