"""A killed process ends the others of its run within 30 seconds, and the run goes on from there."""

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from clozekit.training.wandb import offline_records
from tests.harness.command_server import Command
from tests.programs.commands import (
    QUIET,
    TINY,
    TORCHRUN,
    environment_with_tests,
    is_there,
    run_clozekit,
    start_clozekit,
)
from tests.programs.loss import Loss
from tests.programs.test_signals import processes_in

pytestmark = pytest.mark.slow

LAUNCHERS = ("Lightning", "torchrun")
Process = Command | subprocess.Popen[str]
SECONDS = 30


@dataclass
class Ended:
    """A run of which a process was killed: its exit code, its output, and when all had ended."""

    code: int
    output: str
    seconds: float


def arguments(corpus: Path) -> list[str]:
    return [
        *("train", "name=run", f"data.path={corpus}", *TINY, *QUIET, "resume=auto"),
        *("max_steps=12", "global_batch_size=8", "micro_batch_size=4"),
        "callbacks.checkpoints.every_n_steps=4",
    ]


def start(launcher: str, corpus: Path, folder: Path, *overrides: str) -> Process:
    """Starts the command on two processes, in a process group of its own."""
    given = [*arguments(corpus), "trainer=ddp_cpu", *overrides]
    if launcher == "Lightning":
        return start_clozekit(*given, cwd=folder, output=folder / "output")
    with (folder / "output").open("w") as output:
        return subprocess.Popen(
            [*TORCHRUN, *given],
            cwd=folder,
            env=environment_with_tests(),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def wait(process: Process, folder: Path, seconds: float = SECONDS) -> Ended:
    """Waits until a process has been killed and all others are gone, or should be."""
    killed_at = folder / "killed_at"
    deadline = time.monotonic() + 120
    try:
        while not killed_at.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        began = float(killed_at.read_text() or time.time())
        while time.time() < began + seconds + 5:
            process.poll()
            if not is_there(process.pid):
                break
            time.sleep(0.1)
        return Ended(process.wait(timeout=1), (folder / "output").read_text(), time.time() - began)
    finally:
        if is_there(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


def run_and_lose(launcher: str, corpus: Path, folder: Path, rank: int, **options: object) -> Ended:
    values = {"_target_": f"{Loss.__module__}.Loss", "rank": rank, "step": 6, **options}
    overrides = [f"+callbacks.loss.{key}={value}" for key, value in values.items()]
    return wait(start(launcher, corpus, folder, *overrides), folder)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_others_end_with_a_sentence_and_the_run_goes_on(
    launcher: str, corpus: Path, tmp_path: Path
) -> None:
    ended = run_and_lose(launcher, corpus, tmp_path, rank=1)
    assert ended.seconds < SECONDS
    assert ended.code == 1, ended.output
    assert ended.output.count("clozekit train: rank 1 (process ") == 1, ended.output
    assert "is lost: " in ended.output and "resume=auto continues" in ended.output
    ours, _, _ = ended.output.partition("torch/distributed/elastic")
    assert "Traceback" not in ours
    # Python's finalization may abort while threads of gloo release their tensors.
    assert not (tmp_path / "finalized").exists()

    resumed = run_clozekit(*arguments(corpus), cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed at step 4 from " in resumed.stdout
    results = json.loads((tmp_path / "runs" / "run" / "results.json").read_text())
    assert results["step"] == 12


def test_nobody_outlives_the_first_process(corpus: Path, tmp_path: Path) -> None:
    ended = run_and_lose("Lightning", corpus, tmp_path, rank=0)
    assert ended.seconds < SECONDS
    assert ended.code == -signal.SIGKILL
    assert "clozekit train: rank 0 (process " in ended.output


def test_a_process_that_waits_where_nothing_raises_is_ended(corpus: Path, tmp_path: Path) -> None:
    ended = run_and_lose("Lightning", corpus, tmp_path, rank=1, others_wait=True)
    assert ended.seconds < SECONDS
    assert ended.code == 1, ended.output
    assert "clozekit train: rank 1 (process " in ended.output


def test_wandb_shows_that_the_run_has_failed(corpus: Path, tmp_path: Path) -> None:
    # The last value wins over that of QUIET.
    values = (f"_target_={Loss.__module__}.Loss", "rank=1", "step=6")
    overrides = [f"+callbacks.loss.{value}" for value in values]
    logger = (
        "{_target_: clozekit.training.wandb.WandbLogger, project: test, name: run, "
        "save_dir: runs/run, mode: offline}"
    )
    ended = wait(
        start("Lightning", corpus, tmp_path, *overrides, f"logger.wandb={logger}"), tmp_path
    )
    assert ended.output.count("clozekit train: rank 1 (process ") == 1, ended.output
    run = tmp_path / "runs" / "run"
    identity = json.loads((run / "run.json").read_text())["id"]
    records = offline_records(run / "wandb", identity)
    codes = [r.exit.exit_code for r in records if r.WhichOneof("record_type") == "exit"]
    assert codes == [1]


def test_a_process_that_stands_still_ends_the_run(corpus: Path, tmp_path: Path) -> None:
    timeout = 30
    values = (f"_target_={Loss.__module__}.Loss", "rank=1", "step=6", "stands_still=true")
    overrides = [f"+callbacks.loss.{value}" for value in values]
    overrides.append(f"trainer.strategy.timeout.minutes={timeout / 60}")
    process = start("Lightning", corpus, tmp_path, *overrides)
    ended = wait(process, tmp_path, seconds=timeout + SECONDS)
    assert ended.seconds < timeout + SECONDS
    assert ended.code == 1, ended.output
    assert "clozekit train: rank 0 ends: communication with the other processes failed (" in (
        ended.output
    )
    assert "Timed out waiting" in ended.output
    assert "Traceback" not in ended.output


def test_nobody_outlives_a_first_process_that_is_killed_at_its_start(
    corpus: Path, tmp_path: Path
) -> None:
    process = start("Lightning", corpus, tmp_path)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if any("train_ddp_process_1" in line for line in processes_in(process.pid)):
            break
        time.sleep(0.05)
    (tmp_path / "killed_at").write_text(str(time.time()))
    process.kill()
    ended = wait(process, tmp_path)
    assert ended.seconds < SECONDS
    assert ended.code == -signal.SIGKILL
