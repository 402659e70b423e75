"""Loggers of libraries: a key that the library does not have is refused before training."""

from pathlib import Path

import pytest

from clozekit.errors import ConfigError
from clozekit.runs.folder import RunFolder
from clozekit.training.loggers import make_loggers
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
