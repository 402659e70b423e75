"""The script for Slurm: preempted, queued again, gone on; with stand-ins for Slurm's commands."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness.running import free_port
from tests.programs.commands import COMMAND, QUIET, TINY, environment_with_tests

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "experiments" / "slurm" / "train.sbatch"
COMMANDS = Path(__file__).parent / "slurm_commands"
JOB = "4711"


def job(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Starts the script as Slurm starts a job of two nodes with a task each."""
    commands = {
        "clozekit": COMMAND,
        "srun": (sys.executable, str(COMMANDS / "srun.py")),
        "scontrol": (sys.executable, str(COMMANDS / "scontrol.py")),
    }
    path = folder / "bin"
    path.mkdir(exist_ok=True)
    for name, command in commands.items():
        (path / name).write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        (path / name).chmod(0o755)
    variables = {
        "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
        "SLURM_JOB_ID": JOB,
        "SLURM_JOB_NAME": "clozekit",
        "SLURM_NODELIST": "localhost",
        "SLURM_NNODES": "2",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    with (folder / "output").open("a") as output:
        return subprocess.Popen(
            ["bash", str(SCRIPT), *arguments],
            cwd=folder,
            env=environment_with_tests() | variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end_of(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_preempted_job_is_queued_again_and_goes_on(corpus: Path, tmp_path: Path) -> None:
    arguments = [
        *("name=run", f"data.path={corpus}", *TINY, *QUIET, "trainer=ddp_cpu"),
        *("max_steps=12", "global_batch_size=8", "micro_batch_size=4"),
        "callbacks.checkpoints.every_n_steps=1",
    ]
    slowly = ("_target_=tests.programs.slow_steps.SlowSteps", "seconds=0.5")
    process = job(tmp_path, *arguments, *[f"+callbacks.slow_steps.{value}" for value in slowly])
    checkpoint = tmp_path / "runs" / "run" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()  # the script alone, as --signal=B:TERM has it
    assert end_of(process) == 75, (tmp_path / "output").read_text()
    assert (tmp_path / "scontrol.log").read_text() == f"requeue {JOB}\n"

    assert end_of(job(tmp_path, *arguments)) == 0, (tmp_path / "output").read_text()
    assert (tmp_path / "scontrol.log").read_text() == f"requeue {JOB}\n"
    assert "resumed at step " in (tmp_path / "output").read_text()
    results = json.loads((tmp_path / "runs" / "run" / "results.json").read_text())
    assert results["step"] == 12


def test_a_job_that_fails_is_not_queued_again(tmp_path: Path) -> None:
    assert end_of(job(tmp_path, "name=run", "data.path=nowhere", "max_steps=1")) == 2
    assert not (tmp_path / "scontrol.log").exists()
    assert "nowhere" in (tmp_path / "output").read_text()
