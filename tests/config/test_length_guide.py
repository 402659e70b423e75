"""The commands of docs/length.md are composed and checked as the command does."""

import re
from pathlib import Path

import pytest

from clozekit.config.composition.overrides import as_overrides
from clozekit.config.length import seconds_of
from clozekit.config.merge import MergeConfig
from clozekit.config.train import TrainConfig
from tests.config.test_storage_guide import commands_in
from tests.programs.commands import compose_values

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "length.md"
COMMANDS = commands_in(GUIDE.read_text())


@pytest.mark.parametrize("command", [each for each in COMMANDS if each[0] == "train"], ids=" ".join)
def test_a_training_of_the_guide_is_valid(command: list[str]) -> None:
    # Keys that are not given are those of the other run.
    inherited = ["data.path=data/mine"] if "data.path=data/mine" not in command else []
    values = compose_values("train", *as_overrides("train", command[1:]), *inherited)
    config = TrainConfig.model_validate(values)
    assert (config.from_run is None) == (not inherited)


@pytest.mark.parametrize("command", [each for each in COMMANDS if each[0] == "merge"], ids=" ".join)
def test_a_merge_of_the_guide_is_valid(command: list[str]) -> None:
    values = compose_values("merge", *as_overrides("merge", command[1:]))
    assert len(MergeConfig.model_validate(values).checkpoints) == 2


def test_the_durations_of_the_guide_are_understood() -> None:
    (row,) = [line for line in GUIDE.read_text().splitlines() if line.startswith("| `budget=")]
    durations = re.findall(r"`(?:budget=)?(\d\w*)`", row)
    assert [seconds_of(each) for each in durations] == [1800, 90, 1800, 7200, 5400]


@pytest.mark.parametrize(
    "duration", ["", "30", "m", "30 m", "-3s", "1m1h", "1e3s", "0s", "0h0m", "9999999h", "infs"]
)
def test_what_is_no_duration_is_refused(duration: str) -> None:
    with pytest.raises(ValueError, match="should be"):
        seconds_of(duration)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["budget=30m", "max_steps=10"], "max_steps=10 and budget=30m: set exactly one of"),
        (["budget=30m", "max_tokens=1e9"], "max_tokens=1000000000 and budget=30m: set exactly"),
        (["max_tokens=1.5"], "max_tokens"),
        (["max_tokens=0"], "greater than 0"),
        (["budget=90"], "'90' should be a duration such as 90s, 30m, 2h or 1h30m"),
        (["max_steps=3", "from_step=4"], "from_step=4 has no effect without from_run"),
        (["max_steps=3", "from_run=a", "resume=b"], "from_run=a and resume=b: set only one"),
        ([], "the length of training is missing: set exactly one of max_steps, max_epochs, "),
    ],
)
def test_keys_that_exclude_each_other_are_told(overrides: list[str], message: str) -> None:
    given = as_overrides("train", ["name=a", "data.path=b", *overrides])
    with pytest.raises(ValueError, match=re.escape(message)):
        TrainConfig.model_validate(compose_values("train", *given))
