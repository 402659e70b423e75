"""Training on a real Slurm of two nodes: a job saves and goes on at each of its ends."""

import csv
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import slurm
from tests.harness.command_server import server
from tests.harness.slurm import Slurm
from tests.programs.commands import QUIET, TINY, environment_with_tests

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "experiments" / "slurm" / "train.sbatch"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(slurm.reason_to_skip() is not None, reason=str(slurm.reason_to_skip())),
]

MAX_STEPS = 120
SLOWLY = (
    "+callbacks.slow_steps._target_=tests.programs.slow_steps.SlowSteps",
    "+callbacks.slow_steps.seconds=1",
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    # Not pytest's folder, whose name is too long for a socket.
    folder = Path(tempfile.mkdtemp())
    try:
        with slurm.running(folder) as started:
            yield started
    finally:
        shutil.rmtree(folder)


class Jobs:
    """Jobs of the script in a folder, with two nodes and a process on each."""

    def __init__(self, cluster: Slurm, folder: Path, run: Path | None = None) -> None:
        self.cluster = cluster
        self.folder = folder
        self.run = run or folder / "runs" / "run"

    def submit(self, *arguments: str, options: tuple[str, ...] = ()) -> str:
        environment = environment_with_tests()
        path = f"{Path(sys.executable).parent}:{self.cluster.environment['PATH']}"
        exported = {"PATH": path, "PYTHONPATH": environment["PYTHONPATH"], "OMP_NUM_THREADS": "1"}
        names = ",".join(f"{name}={value}" for name, value in exported.items())
        submitted = self.cluster.run(
            *("sbatch", "--parsable", f"--export=ALL,{names}", "--output=output"),
            *("--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=1", "--gpus-per-node=0"),
            *options,
            str(SCRIPT),
            *arguments,
            cwd=self.folder,
        )
        return submitted.strip()

    @property
    def output(self) -> str:
        path = self.folder / "output"
        return path.read_text() if path.exists() else ""

    def num_steps(self) -> int:
        metrics = self.run / "metrics.csv"
        return len(metrics.read_text().splitlines()) - 1 if metrics.exists() else 0

    def wait_for_steps(self, number: int) -> None:
        before, deadline = self.num_steps(), time.monotonic() + 180
        while self.num_steps() < before + number:
            assert time.monotonic() < deadline, self.output
            time.sleep(0.1)

    def wait_for_restart(self, job: str, number: int) -> None:
        deadline = time.monotonic() + 180
        while self.cluster.restarts(job) < number:
            assert time.monotonic() < deadline, self.output
            time.sleep(0.2)

    def resumed_at(self) -> list[int]:
        return [int(step) for step in re.findall(r"resumed at step (\d+)", self.output)]


def test_a_job_saves_and_goes_on_at_each_end(cluster: Slurm, corpus: Path, tmp_path: Path) -> None:
    jobs = Jobs(cluster, tmp_path)
    arguments = [
        *("name=run", f"data.path={corpus}", *TINY, *QUIET, "trainer=ddp_cpu"),
        *(f"max_steps={MAX_STEPS}", "global_batch_size=8", "micro_batch_size=4"),
        *("validate_every_n_steps=1000", "trainer.log_every_n_steps=1"),
    ]
    # The shortest limit is a minute. Slurm sends the signal up to a minute earlier than set.
    job = jobs.submit(*arguments, *SLOWLY, options=("--time=1", "--signal=B:TERM@10"))

    # The end of its time.
    jobs.wait_for_steps(2)
    jobs.wait_for_restart(job, 1)

    # Preemption by a job of a partition with a higher priority.
    jobs.wait_for_steps(2)
    urgent = cluster.run(
        *("sbatch", "--parsable", "--partition=urgent", "--nodes=2", "--exclusive"),
        *("--output=/dev/null", "--wrap=sleep 1"),
    ).strip()
    cluster.wait_for_state(urgent, ["COMPLETED"], 120)
    assert cluster.restarts(job) >= 2

    # A user cancels the job: it is not queued again.
    jobs.wait_for_steps(2)
    restarts = cluster.restarts(job)
    cluster.run("scancel", job)
    cluster.wait_for_state(job, ["CANCELLED"], 120)
    steps = jobs.num_steps()
    assert cluster.restarts(job) == restarts
    resumed = jobs.resumed_at()
    assert len(resumed) >= 2
    assert 0 < resumed[0] < resumed[1] < steps
    assert resumed == sorted(resumed)

    # The same command again goes on. A job that ends by itself is not queued again either.
    job = jobs.submit(*arguments)
    cluster.wait_for_state(job, ["COMPLETED", "FAILED"], 180)
    assert cluster.state(job) == "COMPLETED", jobs.output
    assert cluster.restarts(job) == 0
    assert jobs.resumed_at() == [*resumed, steps]
    with (tmp_path / "runs" / "run" / "metrics.csv").open() as file:
        logged = [int(row["step"]) for row in csv.DictReader(file) if row["train/mlm_loss"]]
    assert logged == list(range(1, MAX_STEPS + 1))
    results = json.loads((tmp_path / "runs" / "run" / "results.json").read_text())
    assert results["step"] == MAX_STEPS


def test_a_sweep_s_job_goes_on_after_each_end_and_is_joined_again(
    cluster: Slurm, corpus: Path, tmp_path: Path
) -> None:
    arguments = [
        *("train", "-m", "name=sweep", "seed=1", f"data.path={corpus}", *TINY, *QUIET),
        *("max_steps=45", "global_batch_size=8", "micro_batch_size=8", "trainer=cpu"),
        *("validate_every_n_steps=1000", "trainer.log_every_n_steps=1", *SLOWLY),
        *("hydra/launcher=submitit", "hydra.launcher.timeout_min=1"),
        "+hydra.launcher.parameters.slurm_signal_delay_s=10",
    ]
    run = tmp_path / "runs" / "sweep" / "single"
    jobs = Jobs(cluster, tmp_path, run)
    environment = environment_with_tests() | cluster.environment | {"OMP_NUM_THREADS": "1"}
    outputs = [tmp_path / name for name in ("first", "second")]

    # The sweep is killed; its job is not.
    sweep = server().start(arguments, tmp_path, environment, outputs[0], outputs[0])
    jobs.wait_for_steps(2)
    os.killpg(sweep.pid, signal.SIGKILL)
    (note,) = (tmp_path / "runs" / "sweep" / "submitit").glob("*.json")
    job = json.loads(note.read_text())["job_id"]

    # Started again, it waits for the same job.
    sweep = server().start(arguments, tmp_path, environment, outputs[1], outputs[1])
    jobs.wait_for_restart(job, 1)
    jobs.wait_for_steps(2)
    urgent = cluster.run(
        *("sbatch", "--parsable", "--partition=urgent", "--nodes=2", "--exclusive"),
        *("--output=/dev/null", "--wrap=sleep 1"),
    ).strip()
    cluster.wait_for_state(urgent, ["COMPLETED"], 120)
    assert sweep.wait(240) == 0, outputs[1].read_text()
    assert f"single: is Slurm's job {job} from an earlier start" in outputs[1].read_text()
    assert cluster.restarts(job) >= 2
    resumed = re.findall(r"resumed at step (\d+)", (run / "job.log").read_text())
    assert len(resumed) >= 2
    # Preempted again before its next step, a job begins at the same step once more.
    assert (steps := [int(step) for step in resumed]) == sorted(steps)
    assert json.loads((run / "results.json").read_text())["step"] == 45
    assert cluster.run("squeue", "-h", "--states=all", "--name=single", "--format=%i").split() == [
        job
    ]


def test_a_job_that_fails_is_not_queued_again(cluster: Slurm, tmp_path: Path) -> None:
    jobs = Jobs(cluster, tmp_path)
    job = jobs.submit("name=run", "data.path=nowhere", "max_steps=1")
    assert cluster.wait_for_state(job, ["FAILED", "COMPLETED"], 120) == "FAILED"
    assert cluster.restarts(job) == 0
    assert "nowhere" in jobs.output
