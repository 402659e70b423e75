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


HOSTILE = (
    "data.path=${oc.env:SECRET}",
    # Hydra takes the backslashes away.
    r"data.path=$\{oc.env:SECRET\}",
    r"data.path=$\\\{oc.env\:SECRET\\\}",
    "data.path='${oc.env:SECRET}'",
    r"trainer.profiler=$\{oc.create\:\\\{_target$\{oc.decode\:_\}\\\:\\\ sympy.sympify\\\}\}",
    "trainer.profiler={_target_: sympy.sympify, a: 1}",
    r"trainer.profiler={_target\_: sympy.sympify, a: 1}",
    "trainer.plugins=[{_target_: sympy.sympify}]",
    "+trainer.profiler._target_=sympy.sympify",
    "seed=1,2",
    "seed=range(0,3)",
    "seed=choice(1,2)",
    # The choice of a group is the path of a file.
    "trainer=../../evil",
    "trainer=/tmp/evil",
    "trainer=sub/../../evil",
    "trainer='../../evil'",
    "trainer=[../evil]",
    "experiment=../evil",
    "+../evil=default",
    "+trainer/../../evil=default",
    "+evil@_global_=../../evil",
    "+evil=../../evil",
    "+/tmp=evil",
)


@pytest.mark.parametrize("override", HOSTILE)
def test_nothing_that_may_run_code_or_leave_the_folder_is_taken(
    override: str, tmp_path: Path
) -> None:
    command = shlex.join(["clozekit", "train", override, "encoder=mini"])
    (tmp_path / "run.json").write_text(json.dumps({"command": command}))
    assert overrides_of_parent([f"from_run={tmp_path}"]) == ["encoder=mini"]


def test_ordinary_values_of_all_kinds_are_taken(tmp_path: Path) -> None:
    taken = [
        *("data.path='my data/(1).csv'", "optimizer.betas=[0.9,0.98]", "seed=3"),
        *("experiment=glue/rte", "trainer.limit_val_batches=0.5", "compile=off"),
        "++data.path.news-2.path=data/news",
        "data.phases=[{ratio: 0.5, masked_lm_prob: 0.3}, {ratio: 0.5}]",
        "task.class_weights={good: 2.0}",
    ]
    command = shlex.join(["clozekit", "train", *taken])
    (tmp_path / "run.json").write_text(json.dumps({"command": command}))
    assert overrides_of_parent([f"from_run={tmp_path}"]) == taken
