"""A whole benchmark of own files: killed at random and continued, it equals one that was not."""

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.programs.commands import read_rows, run_clozekit, start_clozekit
from tests.programs.task_files import write_task

pytestmark = pytest.mark.slow

KINDS = {
    "topics": ("classification", {"max_seq_length": 48}),
    "names": ("tagging", {"max_seq_length": 16, "doc_stride": 6}),
    "answers": (
        "question_answering",
        {"max_seq_length": 48, "doc_stride": 12, "max_query_length": 8},
    ),
}
QUIET = "logger.wandb=null,callbacks.progress=null,global_batch_size=8,micro_batch_size=8"
KILLS = 2


def arguments(folder: Path, checkpoint: Path, name: str) -> list[str]:
    given = [f"checkpoint={checkpoint}", "suite=local", f"name={name}", "suite.rates=[3e-3]"]
    for task, (kind, options) in KINDS.items():
        key = f"suite.tasks.{task}"
        file = write_task(folder, kind, 24, seed=0)
        given += [f"{key}.task={kind}", f"{key}.data.train={file.name}", f"{key}.epochs=2"]
        given += [f"{key}.data.{option}={value}" for option, value in options.items()]
    given.append("suite.tasks.topics.rates=[3e-3,3e-4]")
    return [*given, f"overrides=[{QUIET},callbacks.checkpoints.every_n_steps=1]"]


def kill_all(folder: Path, pid: int) -> None:
    """Kills the command, and each process that works in its folder."""
    os.kill(pid, signal.SIGKILL)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_job = (process / "cwd").readlink() == folder
        except OSError:  # it has ended
            continue
        if is_job:
            try:
                os.kill(int(process.name), signal.SIGKILL)
            except ProcessLookupError:
                continue


def results(folder: Path, name: str) -> Any:
    return json.loads((folder / "runs" / name / "results.json").read_text())["checkpoints"]


def test_a_benchmark_killed_at_random_equals_one_that_was_not(
    reference_run: Path, tmp_path: Path
) -> None:
    whole = run_clozekit("benchmark", *arguments(tmp_path, reference_run, "whole"), cwd=tmp_path)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    given = arguments(tmp_path, reference_run, "killed")
    draw, record = random.Random(), tmp_path / "runs" / "killed" / "jobs" / "sweep.json"
    for number in range(KILLS):
        started = start_clozekit("benchmark", *given, cwd=tmp_path, output=tmp_path / "log.txt")
        while not record.is_file() and started.poll() is None:
            time.sleep(0.01)
        # At a moment in the first jobs, which take some seconds together.
        time.sleep(draw.uniform(0, 3))
        if started.poll() is None:
            kill_all(tmp_path, started.pid)
            started.wait(30)
        assert number or record.is_file()
    again = run_clozekit("benchmark", *given, cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert results(tmp_path, "killed") == results(tmp_path, "whole")
    jobs = sorted(path.name for path in (tmp_path / "runs" / "whole" / "jobs").glob("*__*"))
    assert len(jobs) == 4
    for job in jobs:
        found, expected = (
            read_rows(tmp_path / "runs" / name / "jobs" / job / "metrics.csv")
            for name in ("killed", "whole")
        )
        assert found == expected, job
    starts = {job["name"]: job["starts"] for job in json.loads(record.read_text())["jobs"]}
    assert sorted(starts) == jobs
    finished = run_clozekit("benchmark", *given, cwd=tmp_path)
    assert finished.stdout.count(": already finished") == 4
