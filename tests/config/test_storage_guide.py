"""The commands of docs/storage.md are composed and checked as the command does."""

import re
import shlex
from pathlib import Path

import pytest

from clozekit.config.callbacks import CheckpointsConfig
from clozekit.config.data import SCHEMAS
from clozekit.config.overrides import as_overrides
from clozekit.config.prepare import PrepareConfig
from clozekit.config.train import TrainConfig
from tests.programs.commands import compose_values

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "storage.md"


def commands_in(text: str) -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    return [each[1:] for each in words if each[:1] == ["clozekit"]]


COMMANDS = [each for each in commands_in(GUIDE.read_text()) if each[0] == "train"]
PREPARATIONS = [each for each in commands_in(GUIDE.read_text()) if each[0] == "prepare"]
SWEEP = re.findall(r"`'(callbacks\.checkpoints\.mirror=.*?)'`", GUIDE.read_text())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_of_the_guide_is_valid(command: list[str]) -> None:
    overrides = as_overrides("train", command[1:])
    config = TrainConfig.model_validate(compose_values("train", *overrides))
    data = SCHEMAS[config.data.target].model_validate(config.data.model_extra)
    assert data.model_dump()["path"] == "s3://my-bucket/corpus"
    checkpoints = config.callbacks["checkpoints"]
    assert checkpoints is not None
    CheckpointsConfig.model_validate(checkpoints.model_extra)


@pytest.mark.parametrize("command", PREPARATIONS, ids=" ".join)
def test_a_preparation_of_the_guide_is_valid(command: list[str]) -> None:
    values = compose_values("prepare", *as_overrides("prepare", command[1:]))
    assert PrepareConfig.model_validate(values).out == "s3://my-bucket/corpus"


def test_the_guide_has_commands() -> None:
    assert len(COMMANDS) == 3
    assert len(PREPARATIONS) == 1
    assert len(SWEEP) == 1


def test_a_mirror_may_have_the_name_of_the_run_in_it() -> None:
    overrides = as_overrides("train", ["name=a", "data.path=b", "max_steps=1", *SWEEP])
    values = compose_values("train", *overrides)
    assert values["callbacks"]["checkpoints"]["mirror"] == "s3://my-bucket/runs/a"
