"""SIGTERM and SIGINT end a run with a checkpoint, on all processes, and it goes on exactly."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.harness.command_server import Command
from tests.programs import interrupted_runs
from tests.programs.commands import TINY, is_there, start_clozekit
from tests.programs.forked import results_of
from tests.programs.interrupted_runs import SCENARIOS
from tests.programs.signaller import Signaller

pytestmark = pytest.mark.slow

ONCE = [scenario for scenario in SCENARIOS if "twice" not in scenario]
TWICE = [scenario for scenario in SCENARIOS if "twice" in scenario]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return results_of(interrupted_runs.__name__, tmp_path_factory.mktemp("interrupted"))


@pytest.mark.parametrize("scenario", ONCE)
def test_every_process_exits_with_75(scenario: str, results: dict[str, Any]) -> None:
    ranks = SCENARIOS[scenario][0].ranks
    assert results[scenario]["codes"] == [75] * ranks, results[scenario]["log"]


@pytest.mark.parametrize("scenario", ONCE)
def test_the_next_step_is_saved(scenario: str, results: dict[str, Any]) -> None:
    # A step that is validated, or saved anyway, is the last checkpoint itself.
    step = SCENARIOS[scenario][1]["step"] + 1
    expected = (
        "last.ckpt" if scenario == "SIGTERM at a step that is validated" else "preempted.ckpt"
    )
    assert expected in results[scenario]["checkpoints"]
    assert f"resumed at step {step} from " in results[scenario]["log"]
    assert f"{expected}\n" in results[scenario]["log"]


@pytest.mark.parametrize("scenario", TWICE)
def test_a_second_ctrl_c_ends_at_once_with_130(scenario: str, results: dict[str, Any]) -> None:
    result = results[scenario]
    assert result["codes"][0] == 130
    assert 0 not in result["codes"]
    assert "preempted.ckpt" not in result["checkpoints"]
    assert "resumed at step 6 from " in result["log"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_run_goes_on_as_if_nothing_had_been(scenario: str, results: dict[str, Any]) -> None:
    assert set(results[scenario]["resumed"]) == {0}, results[scenario]["log"]
    assert results[scenario]["differences"] == []


def started_by_lightning(corpus: Path, folder: Path, **signaller: object) -> Command:
    """Starts the command on two processes, in a process group of its own."""
    arguments = {"_target_": f"{Signaller.__module__}.{Signaller.__name__}", **signaller}
    return start_clozekit(
        *("train", "name=run", f"data.path={corpus}", *TINY),
        *("max_steps=50", "global_batch_size=8", "micro_batch_size=4", "trainer=ddp_cpu"),
        *("callbacks.progress=null", "data.num_workers=1"),
        *[f"+callbacks.signaller.{key}={value}" for key, value in arguments.items()],
        cwd=folder,
        output=folder / "output",
    )


def processes_in(group: int) -> list[str]:
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pgid=,pid=,args="], capture_output=True, text=True, check=True
    )
    return [line for line in listed.stdout.splitlines() if line.split()[0] == str(group)]


@pytest.mark.parametrize(
    "signaller",
    [
        {"name": "SIGTERM", "step": 5, "to": "group", "rank": 1},
        {"name": "SIGTERM", "step": 5, "to": "parent", "rank": 1},
        {"name": "SIGTERM", "step": 5, "to": "self", "rank": 1},
        {"name": "SIGINT", "step": 5, "to": "group", "rank": 0},
    ],
    ids=["the whole group", "the first process alone", "its child alone", "Ctrl-C"],
)
def test_the_first_process_tells_and_nobody_stays_behind(
    signaller: dict[str, object], corpus: Path, tmp_path: Path
) -> None:
    process = started_by_lightning(corpus, tmp_path, **signaller)
    try:
        code = process.wait(timeout=120)
        deadline = time.monotonic() + 20
        while is_there(process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert processes_in(process.pid) == []
    finally:
        if is_there(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
    output = (tmp_path / "output").read_text()
    assert code == 75, output
    assert re.search(r"^step \d+ is saved; resume=auto goes on from it$", output, re.MULTILINE)
    assert (tmp_path / "runs" / "run" / "checkpoints" / "preempted.ckpt").is_file()
    assert "terminating" not in output
