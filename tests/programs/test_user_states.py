"""States of a user's own classes in checkpoints, and runs that cannot save any."""

from pathlib import Path

import pytest
import torch

from clozekit.errors import ConfigError
from clozekit.exit_codes import TERMINATED
from tests.programs.observed_runs import Run, steps

OWN = "tests.programs.stateful"


def test_a_number_of_numpy_in_a_state_is_resumed(run: Run) -> None:
    best = f"+callbacks.best._target_={OWN}.Best"
    folder = run("numpy", "max_steps=3", best)
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert type(saved["callbacks"]["Best"]["best"]) is float
    run("numpy", "max_steps=6", best, "resume=auto")
    assert steps(folder) == [1, 2, 3, 4, 5, 6]


def test_hyperparameters_of_a_task_do_not_spoil_a_checkpoint(run: Run) -> None:
    task = f"task._target_={OWN}.KeepsHyperparameters"
    folder = run("hyper", "max_steps=3", task, "+task.extra=2.5")
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["hyper_parameters"]["extra"] == 2.5
    run("hyper", "max_steps=6", task, "+task.extra=2.5", "resume=auto")
    assert steps(folder) == [1, 2, 3, 4, 5, 6]


def test_a_state_that_could_not_be_read_again_is_refused_before_training(run: Run) -> None:
    with pytest.raises(ConfigError, match=r"callbacks\['Place'\]\['file'\], a pathlib\.\w+Path"):
        run("place", f"+callbacks.place._target_={OWN}.Place")
    assert not (run.folder / "place").exists()


def test_a_run_without_checkpoints_does_not_say_that_it_saved(
    run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    stops = f"+callbacks.stops={{_target_: {OWN}.Stops, step: 2}}"
    with pytest.raises(SystemExit) as ended:
        run("unsaved", "callbacks.checkpoints=null", stops)
    assert ended.value.code == TERMINATED
    told = "step 3 is not saved, because there is no callbacks.checkpoints\n"
    assert told in capfd.readouterr().out


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_a_rank_that_the_trainer_does_not_have_is_refused(
    name: str, run: Run, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = plain / "results.json"
    before = results.read_bytes()
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigError, match=f"^{name}=1 says that this is not the first process"):
        run("plain", "max_steps=3")
    assert results.read_bytes() == before


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"MASTER_PORT": "abc"}, "MASTER_PORT=abc should be the number of a port"),
        (
            {"SLURM_NTASKS": "2", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "x"},
            "the job of Slurm does not fit: .*--ntasks=2",
        ),
    ],
)
def test_an_environment_that_does_not_fit_is_told_in_a_sentence(
    variables: dict[str, str], told: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=told):
        run("environment", "max_steps=1")
