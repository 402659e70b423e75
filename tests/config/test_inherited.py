"""The overrides that a run takes from the run that it begins from."""

import json
import shlex
from pathlib import Path

import pytest

from clozekit.config.inherited import overrides_of_parent
from clozekit.errors import DataError

COMMAND = (
    *("clozekit", "train", "name=stable", "runs_dir=a", "resume=auto", "max_steps=100"),
    *("encoder=mini", "encoder.hidden_size=64", "data.path=my data", "seed=3"),
    *("schedule=wsd", "schedule.warmup_ratio=0.1", "+data.first_phase.ratio=0.5"),
    *("logger.wandb=null", "callbacks=[]", "hydra.run.dir=x", "-m", "~data.path", "debug=fast"),
    *("trusted_modules=[theirs]", "task._target_=theirs.Task", "data.name=${oc.env:HOME}"),
    *("+callbacks.x._target_=theirs.Callback", "encoder={_target_: theirs.Encoder}", "budget=2h"),
)


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    (tmp_path / "run.json").write_text(json.dumps({"command": shlex.join(COMMAND)}))
    return tmp_path


def test_the_keys_of_model_data_and_training_are_taken(parent: Path) -> None:
    assert overrides_of_parent(["name=cooled", f"from_run={parent}"]) == [
        "encoder=mini",
        "encoder.hidden_size=64",
        "data.path=my data",
        "seed=3",
        "schedule=wsd",
        "schedule.warmup_ratio=0.1",
        "+data.first_phase.ratio=0.5",
    ]


def test_a_given_key_or_group_counts(parent: Path) -> None:
    given = [f"from_run={parent}", "seed=4", "schedule=warmup_linear", "encoder.hidden_size=32"]
    taken = overrides_of_parent([*given, "data.first_phase={ratio: 0.2}"])
    assert taken == ["encoder=mini", "data.path=my data"]


def test_nothing_is_taken_without_a_parent(parent: Path, tmp_path: Path) -> None:
    assert overrides_of_parent(["name=a"]) == []
    assert overrides_of_parent(["from_run=null"]) == []
    assert overrides_of_parent(["from_run=s3://bucket/run"]) == []
    assert overrides_of_parent([f"from_run={tmp_path / 'nowhere'}"]) == []
    (parent / "run.json").write_text(json.dumps({"command": "python train"}))
    assert overrides_of_parent([f"from_run={parent}"]) == []


@pytest.mark.parametrize("content", ["[]", "{", '{"command": "clozekit train \'"}'])
def test_a_damaged_record_is_told(content: str, parent: Path) -> None:
    (parent / "run.json").write_text(content)
    with pytest.raises(DataError, match=r"run\.json cannot be read"):
        overrides_of_parent([f"from_run={parent}"])
