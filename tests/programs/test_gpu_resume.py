"""On a GPU in deterministic mode, a killed run goes on as if nothing had been."""

import signal
from pathlib import Path

import pytest
import torch

from tests.harness.cases import Case, prepare_overrides, write_data
from tests.harness.comparing import differences
from tests.harness.killing import Moment
from tests.programs.commands import COMMAND, environment_with_tests, run_clozekit

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    finished = run_clozekit("prepare", *prepare_overrides(folder), cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return folder


def run(case: Case, data: Path, folder: Path, *overrides: str) -> int:
    """Trains in a process of its own, as a forked one cannot use a GPU that its parent used."""
    folder.mkdir(exist_ok=True)
    finished = run_clozekit(
        *("train", "resume=auto", *case.overrides(data, folder)),
        *("trainer=gpu", "trainer.deterministic=true"),
        "+callbacks.recorder._target_=tests.harness.killing.Recorder",
        f"+callbacks.recorder.folder={folder}",
        *overrides,
        cwd=folder,
        command=COMMAND,
        more={"PYTHONPATH": environment_with_tests()["PYTHONPATH"]},
    )
    assert finished.returncode in (0, -signal.SIGKILL), finished.stderr[-3000:]
    return finished.returncode


@pytest.mark.parametrize(
    ("task", "precision"),
    [("pretraining", "bf16-mixed"), ("pretraining", "32-true"), ("classification", "16-mixed")],
)
def test_a_killed_run_equals_one_that_was_not(
    task: str, precision: str, data: Path, tmp_path: Path
) -> None:
    case = Case(task, workers=2, persistent=True, ranks=1, accumulation=2)
    of_precision = f"trainer.precision={precision}"
    assert run(case, data, tmp_path / "whole", of_precision) == 0
    moment = Moment("after backward", 9, 0).overrides()
    assert run(case, data, tmp_path / "killed", of_precision, *moment) == -signal.SIGKILL
    assert run(case, data, tmp_path / "killed", of_precision) == 0
    assert differences(tmp_path / "killed", tmp_path / "whole") == []
