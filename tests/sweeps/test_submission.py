"""What submitit is asked for; `tests/programs/test_sweeps.py` has it run a job."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import pytest

from clozekit.errors import ConfigError
from clozekit.sweeps import processes, submission
from clozekit.sweeps.job import Job
from clozekit.sweeps.submission import SubmititExecutor, SubmittedCommand, SubmittedJob
from tests.programs.commands import train_config


def job(*overrides: str, folder: Path = Path("runs")) -> Job:
    config = train_config(
        "name=mine", f"runs_dir={folder}", "data.path=a", "max_steps=1", *overrides
    )
    return Job("seed-0", ("seed=0",), ("train",), config)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SubmititExecutor:
    monkeypatch.setattr(submission.shutil, "which", lambda name: f"/usr/bin/{name}")
    return SubmititExecutor("mine", tmp_path, 4, "slurm", 60, {"slurm_partition": "gpu"})


def test_slurm_is_asked_for_a_task_for_every_process(slurm: SubmititExecutor) -> None:
    asked = slurm.parameters(job("trainer=ddp", "trainer.devices=4", "trainer.num_nodes=2"))
    assert asked == {
        "name": "seed-0",
        "nodes": 2,
        "tasks_per_node": 4,
        "gpus_per_node": 4,
        "timeout_min": 60,
        "slurm_partition": "gpu",
    }


def test_the_number_of_processes_has_to_be_known_for_slurm(slurm: SubmititExecutor) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.devices should be a number"):
        slurm.check(job("trainer=ddp"))


def test_one_machine_has_one_task_and_lightning_starts_the_rest(tmp_path: Path) -> None:
    executor = SubmititExecutor("mine", tmp_path, 4, "local", 60, {})
    assert executor.parameters(job("trainer=ddp_cpu")) == {"name": "seed-0", "timeout_min": 60}
    with pytest.raises(ConfigError, match=r"trainer.num_nodes=2 .*cluster=local is one machine"):
        executor.check(job("trainer.num_nodes=2"))


def test_a_parameter_that_submitit_does_not_know_is_told_before_anything_is_submitted(
    tmp_path: Path,
) -> None:
    executor = SubmititExecutor("mine", tmp_path / "sweep", 4, "local", 60, {"nonsense": 1})
    with pytest.raises(ConfigError, match=r"hydra\.launcher\.parameters=.*'nonsense'") as told:
        executor.check(job())
    assert "\n" not in str(told.value)
    assert not (tmp_path / "sweep").exists()


def test_a_cluster_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission.shutil, "which", lambda name: None)
    for cluster, message in (("slurm", "there is no srun here"), ("pbs", "slurm or local")):
        with pytest.raises(ConfigError, match=message):
            SubmititExecutor("mine", tmp_path, 4, cluster, 60, {})


SLEEPER = """
import signal, sys, time
def end(*_):
    print("saved", flush=True)
    sys.exit(75)
signal.signal(signal.SIGTERM, end)
print("begun", flush=True)
time.sleep(60)
"""


@pytest.fixture
def sleeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job whose process sleeps until SIGTERM, and then exits with 75."""
    script = tmp_path / "sleeper.py"
    script.write_text(SLEEPER)
    start = subprocess.Popen

    def popen(command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        return start([sys.executable, str(script)], **options)

    monkeypatch.setattr(processes.subprocess, "Popen", popen)
    return job(folder=tmp_path / "runs")


def wait_for(text: str, file: Path) -> None:
    deadline = time.monotonic() + 60
    while not (file.exists() and text in file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sigterm_reaches_the_run_and_its_exit_code_comes_back(
    sleeper: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = pickle.loads(cloudpickle.dumps(SubmittedCommand(sleeper, "mine")))
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        if sleeper.log_file.exists() and "begun" in sleeper.log_file.read_text() and not looks:
            looks.append(seconds)
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(submission.time, "sleep", sleep)
    try:
        assert command() == 75
    finally:
        signal.signal(signal.SIGTERM, before)
    assert sleeper.log_file.read_text().endswith("saved\n")


class Submitted:
    """A job of submitit's."""

    job_id = "7"

    def __init__(self, result: Path) -> None:
        self.paths = SimpleNamespace(result_pickle=result)

    def done(self) -> bool:
        return True

    def results(self) -> list[int]:
        from submitit.core.utils import UncompletedJobError

        raise UncompletedJobError("the node was lost\n")


@pytest.fixture
def lost(tmp_path: Path) -> Job:
    made = job(folder=tmp_path)
    made.folder.mkdir(parents=True)
    return made


def test_a_job_that_submitit_lost_has_failed_and_says_why(lost: Job, tmp_path: Path) -> None:
    result = tmp_path / "result.pkl"
    result.touch()
    assert SubmittedJob(lost, Submitted(result), "slurm").poll() == 1
    assert lost.log_file.read_text() == "the node was lost\n"


@pytest.mark.parametrize(
    ("state", "code", "log"),
    [
        ("PENDING", None, ""),
        ("COMPLETING", None, ""),
        ("UNKNOWN", None, ""),
        ("CANCELLED", 75, ""),
        ("NODE_FAIL", 1, "Slurm's job 7 ended in state NODE_FAIL\n"),
        ("GONE", 1, "Slurm's job 7 ended in state GONE\n"),
    ],
)
def test_slurm_is_asked_about_a_job_without_a_result(
    state: str,
    code: int | None,
    log: str,
    lost: Job,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(submission, "SECONDS_BETWEEN_LOOKS", 0)
    monkeypatch.setattr(submission.slurm, "state_of", lambda job_id: state)
    submitted = SubmittedJob(lost, Submitted(tmp_path / "none.pkl"), "slurm")
    assert submitted.poll() == code
    assert (lost.log_file.read_text() if lost.log_file.exists() else "") == log


def test_a_local_job_within_a_job_of_slurm_is_not_queued_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(submission.slurm, "state_of", lambda job_id: "RUNNING")
    job_of_slurm = {"SLURM_JOB_ID": "7", "SUBMITIT_EXECUTOR": "slurm"}
    assert submission.slurm.was_preempted(job_of_slurm)
    assert not submission.slurm.was_preempted(job_of_slurm | {"SUBMITIT_EXECUTOR": "local"})
    assert not submission.slurm.was_preempted({})
