"""Loggers of libraries: a key that the library does not have is refused before training."""

from pathlib import Path
from typing import Any

import pytest
import wandb

from clozekit.errors import ConfigError
from clozekit.runs.folder import RunFolder
from clozekit.training.loggers import make_loggers
from clozekit.training.wandb import offline_records
from tests.programs.commands import train_config


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("wandb.tag=[a]", r"unknown key 'logger\.wandb\.tag' \(did you mean 'tags'\?\); the keys"),
        ("tensorboard.nosuch=1", r"unknown key 'logger\.tensorboard\.nosuch'; the keys in logger"),
        ("tensorboard.log_dir=a", r"unknown key 'logger\.tensorboard\.log_dir' \(did you mean"),
    ],
)
def test_a_key_that_no_library_has_is_refused(given: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        made(tmp_path, f"+logger.{given}")


@pytest.mark.parametrize("given", ["wandb.tags=[a]", "wandb.notes=b", "tensorboard.flush_secs=9"])
def test_a_key_of_the_library_is_accepted(given: str, tmp_path: Path) -> None:
    made(tmp_path, f"+logger.{given}")


def made(runs: Path, *overrides: str) -> None:
    logger = ("logger=[wandb,tensorboard]", f"runs_dir={runs}")
    config = train_config("name=mine", "data.path=a", "max_steps=1", *logger, *overrides)
    assert len(make_loggers(config, RunFolder.at(runs / "mine", None))) == 2


VARIABLES = {
    "WANDB_PROJECT": "theirs",
    "WANDB_ENTITY": "team",
    "WANDB_NAME": "named",
    "WANDB_DIR": "elsewhere",
    "WANDB_JOB_TYPE": "ablation",
}


def begun(folder: Path, *overrides: str) -> tuple[Path, Any]:
    """Begins a W&B run of a command, and returns its file and its first record."""
    config = train_config("name=mine", "data.path=a", "max_steps=1", "logger=wandb", *overrides)
    (logger,) = make_loggers(config, RunFolder.at(folder / "runs" / "mine", None))
    logger.log_metrics({"a": 1.0}, 1)
    wandb.finish()
    wandb.teardown()  # its own process writes the file
    (file,) = folder.rglob("run-*.wandb")
    records = offline_records(file.parents[1], file.stem.removeprefix("run-"))
    return file, next(r.run for r in records if r.WhichOneof("record_type") == "run")


def test_the_variables_of_wandb_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb.teardown()  # It reads some variables once.
    monkeypatch.chdir(tmp_path)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    file, run = begun(tmp_path)
    assert file.is_relative_to(tmp_path / "elsewhere")
    assert (run.project, run.entity, run.display_name) == ("theirs", "team", "named")
    assert run.job_type == "ablation"


def test_a_given_key_comes_before_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb.setup()  # W&B's own process keeps the working directory that it is started in.
    monkeypatch.chdir(tmp_path)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    given = ("project=a", "name=b", "save_dir=c")
    added = ("entity=d", "job_type=e")
    overrides = [f"logger.wandb.{g}" for g in given] + [f"+logger.wandb.{a}" for a in added]
    file, run = begun(tmp_path, *overrides)
    assert file.is_relative_to(tmp_path / "c")
    assert (run.project, run.display_name, run.entity, run.job_type) == ("a", "b", "d", "e")


def test_the_configuration_holds_what_a_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "${oc.env:HOME}")
    config = train_config("name=mine", "data.path=a", "max_steps=1")
    assert config.logger["wandb"] is not None
    assert config.logger["wandb"].arguments()["project"] == "${oc.env:HOME}", "only text"
