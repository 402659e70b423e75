"""The overrides that a run takes from the run that it begins from."""

import json
import shlex
from pathlib import Path

import pytest

from clozekit.config.composition.inherited import check_decay_ratio, overrides_of_parent
from clozekit.errors import ConfigError, DataError
from tests.programs.commands import train_config
from tests.programs.in_process import invoke

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


def test_the_last_command_up_to_the_step_counts(tmp_path: Path) -> None:
    def command(schedule: str) -> str:
        return f"clozekit train name=a schedule={schedule}"

    resumed = [
        {"from": "step 4 (a/last.ckpt)", "command": command("wsd")},
        {"from": "step 8 (a/last.ckpt)", "command": command("constant")},
    ]
    record = {"command": command("warmup_linear"), "resumed": resumed}
    parent, child = tmp_path / "a", tmp_path / "b"
    for folder in (parent, child):
        folder.mkdir()
    (parent / "run.json").write_text(json.dumps(record))
    given = [f"from_run={parent}", "name=b", f"runs_dir={tmp_path}"]
    for step, schedule in ((3, "warmup_linear"), (4, "warmup_linear"), (5, "wsd"), (9, "constant")):
        assert overrides_of_parent([*given, f"from_step={step}"]) == [f"schedule={schedule}"]
    assert overrides_of_parent(given) == ["schedule=constant"]
    # A run that has begun keeps the command of its step, although the other run went on.
    (child / "run.json").write_text(json.dumps({"parent": {"run": "a", "step": 8}}))
    assert overrides_of_parent(given) == ["schedule=wsd"]
    (child / "run.json").write_text("{")
    assert overrides_of_parent(given) == ["schedule=constant"]


def test_nothing_is_taken_without_a_parent(parent: Path) -> None:
    assert overrides_of_parent(["name=a"]) == []
    assert overrides_of_parent(["from_run=null"]) == []
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
    # Keys that are a run's own, within a mapping.
    "data.cache={dir: /tmp/evil, limit: 1MB}",
    "data.cache={'dir': /tmp/evil}",
    "data={cache: {dir: /tmp/evil}}",
    "trainer.max_time=00:00:00:01",
    "+trainer.min_steps=5",
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


@pytest.mark.parametrize("place", ["{folder}/nowhere", "{folder}/run.json", "s3://bucket/run"])
def test_what_is_no_run_is_told_before_keys_are_missing(place: str, parent: Path) -> None:
    place = place.format(folder=parent)
    with pytest.raises(ConfigError, match=r"from_run=.* should be the folder of a run"):
        overrides_of_parent([f"from_run={place}"])
    for verb in ("train", "inspect"):
        ended = invoke(verb, f"from_run={place}", folder=parent)
        assert ended.code == 2
        assert ended.messages == [
            f"clozekit {verb}: from_run={place} should be the folder of a run with checkpoints"
        ]


def test_averaged_weights_are_told(parent: Path) -> None:
    record = {"command": "clozekit merge checkpoints=[a,b] out=c", "merged": []}
    (parent / "run.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=r"averaged weights .* encoder\.pretrained="):
        overrides_of_parent([f"from_run={parent}"])


def of(folder: Path, *words: str) -> Path:
    """Makes the record of a run of this command."""
    folder.mkdir(exist_ok=True)
    command = shlex.join(["clozekit", "train", *words])
    (folder / "run.json").write_text(json.dumps({"command": command}))
    return folder


def test_several_runs_give_what_they_have_in_common(tmp_path: Path) -> None:
    runs = [
        of(tmp_path / name, f"name={name}", "data.path=data", f"optimizer.lr={lr}")
        for name, lr in (("a", "1e-3"), ("b", "1e-4"))
    ]
    both = f"from_run={runs[0]},{runs[1]}"
    assert overrides_of_parent([both, "optimizer.lr=1e-3"], True) == ["data.path=data"]
    with pytest.raises(ConfigError, match=r"from_run=.*/a,.*/b: .* differ in optimizer\.lr, so"):
        overrides_of_parent([both], True)


def test_a_job_of_an_experiment_that_is_a_sweep_is_one_run(tmp_path: Path) -> None:
    run = of(tmp_path / "job", "hydra.mode=RUN", "experiment=objectives", "objective=masked_lm")
    taken = ["experiment=objectives", "objective=masked_lm"]
    assert overrides_of_parent([f"from_run={run}"]) == ["hydra.mode=RUN", *taken]
    assert overrides_of_parent([f"from_run={run}"], is_multirun=True) == taken


def decay(run: Path, *overrides: str) -> None:
    given = (f"from_run={run}", "max_steps=9", "name=a", "data.path=b", *overrides)
    check_decay_ratio(train_config(*given), given)


def test_a_ratio_of_the_decay_has_no_effect_after_another_run(tmp_path: Path) -> None:
    run = of(tmp_path / "a", "schedule=wsd", "schedule.decay_ratio=0.25")
    decay(run, "schedule=wsd")
    decay(run, "schedule=wsd", "schedule.decay_ratio=0.250")  # as taken from the run
    decay(run, "schedule=wsd", "schedule.decay_ratio=0.1", "schedule.decay_steps=3")
    decay(run, "schedule=wsd", "schedule.decay_ratio=0.1", "schedule.decay_ratio=null")
    with pytest.raises(
        ConfigError, match=r"^schedule\.decay_ratio=0\.1 has no effect with from_run"
    ):
        decay(run, "schedule=wsd", "schedule.decay_ratio=0.1")


@pytest.mark.parametrize("place", [0, 1, 3])
def test_an_option_may_stand_anywhere_beside_a_parent(place: int, tmp_path: Path) -> None:
    run = of(tmp_path / "run", "data.path=nowhere", "experiment=mine")
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    mine = "# @package _global_\nglobal_batch_size: 0\n"
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(mine)
    words = ["name=a", "max_steps=5", f"from_run={run}"]
    words[place:place] = ["--config-dir", "conf"]
    ended = invoke("train", *words, folder=tmp_path)
    assert ended.code == 2 and len(ended.messages) == 1
    assert ended.messages[0].startswith("clozekit train: global_batch_size=0: it should be")
