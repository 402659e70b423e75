"""Sweeps, studies and reports of someone else: read as data, within their folder."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from clozekit.config.report import ReportConfig
from clozekit.documents import read_yaml
from clozekit.errors import ConfigError, DataError, UserError
from clozekit.report import report
from clozekit.sweeps.read_runs import read_runs
from clozekit.sweeps.study import OVERRIDES, Study

SPACE = {
    "optimizer.lr": FloatDistribution(1e-4, 1e-2),
    "seed": IntDistribution(0, 3),
    "optimizer": CategoricalDistribution(["adamw", "sgd"]),
}
GOOD = {"optimizer.lr": 1e-3, "seed": 1, "optimizer": "sgd"}
HOSTILE = "+callbacks.x._target_=os.system"


def study_with(params: dict[str, Any], distributions: dict[str, Any]) -> optuna.Study:
    study = optuna.create_study(direction="minimize")
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions=distributions,
            user_attrs={OVERRIDES: [HOSTILE]},
        )
    )
    return study


def made_from(study: optuna.Study) -> list[list[str]]:
    made: list[list[str]] = []

    class Made:
        name = "x"

        def monitor(self) -> None:
            """Says nothing of the metric."""

    def make(overrides: Any) -> Any:
        made.append(list(overrides))
        return Made()

    Study(study, SPACE, 1, None, make, lambda num_samples: RandomSampler(seed=num_samples))
    return made


def test_a_trials_attribute_is_not_used() -> None:
    overrides = made_from(study_with(GOOD, SPACE))
    assert overrides == [["optimizer.lr=0.001", "seed=1", "optimizer=sgd"]]


@pytest.mark.parametrize(
    "changed",
    [
        {"optimizer": HOSTILE},
        {"optimizer": "${oc.env:HOME}"},
        {"optimizer.lr": "x,y"},
        {"+callbacks.x._target_": "os.system"},
    ],
)
def test_a_trials_value_that_cannot_be_sampled_is_refused(changed: dict[str, str]) -> None:
    params = GOOD | changed
    distributions = {
        key: CategoricalDistribution([value]) if key in changed else SPACE[key]
        for key, value in params.items()
    }
    with pytest.raises(ConfigError, match=r"has a different search space .trial 0 is"):
        made_from(study_with(params, distributions))


def test_a_number_outside_the_bounds_may_stay() -> None:
    wider = SPACE | {"seed": IntDistribution(0, 9)}
    assert made_from(study_with(GOOD | {"seed": 7}, wider))[0][1] == "seed=7"


def write_run(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    content = {"run_json": '{"command": "clozekit train", "id": "a"}', **files}
    for name, text in content.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def write_record(folder: Path, jobs: Any, **more: Any) -> None:
    record = {"format_version": 1, "command": "clozekit train", "jobs": jobs, **more}
    (folder / "sweep.json").write_text(json.dumps(record))


def job(name: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "overrides": [], "status": "waiting", **more}


@pytest.mark.parametrize(
    "text",
    ["[]", "null", "3", '"x"', "{", "", "[" * 100_000, "{}", '{"format_version": "x"}', "\x00"],
)
def test_what_is_no_record_is_refused(text: str, tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(UserError, match=r"sweep\.json") as caught:
        report(ReportConfig(folder=tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "jobs",
    [
        None,
        "x",
        {"a": 1},
        [None],
        ["a"],
        [{}],
        [{"name": "a"}],
        [job(None)],
        [job(3)],
        [job("")],
        [job("..")],
        [job("../other")],
        [job("/etc")],
        [job("a/../../b")],
        [job(".hidden")],
        [job("a\x1b[2J")],
        [job("a" * 300)],
        [job("a", overrides="x")],
        [job("a", overrides=[3])],
        [job("a", status="unknown")],
        [job("a", seconds="x")],
    ],
)
def test_bad_jobs_in_a_record_are_refused(jobs: Any, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    write_run(folder / "a")
    write_run(tmp_path / "other")
    write_record(folder, jobs)
    with pytest.raises(DataError, match=r"sweep\.json is not the record of a sweep: jobs"):
        read_runs(folder)


def test_a_good_record_is_read(tmp_path: Path) -> None:
    write_run(tmp_path / "seed-1")
    write_record(tmp_path, [job("seed-1", overrides=["seed=1"], folder="/somewhere/else")])
    (run,) = read_runs(tmp_path)
    assert run.folder == tmp_path / "seed-1" and run.own == {"seed": "1"}


@pytest.mark.parametrize(
    "files",
    [
        {"config_yaml": "a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]\n"},
        {"config_yaml": "a: &a\n  b: *a\n"},
        {"config_yaml": "[" * 100_000},
        {"config_yaml": "- " * 100_000},
        {"config_yaml": "!!python/object/apply:os.system [id]"},
        {"config_yaml": "a: !!timestamp x"},
        {"config_yaml": "a: " + "9" * 5000},
        {"results_json": '{"loss": "x"}'},
        {"results_json": '{"loss": [1]}'},
        {"results_json": "[]"},
        {"run_json": "[]"},
        {"run_json": '{"command": "a \'b"}'},
        {"run_json": "[" * 100_000},
    ],
    ids=lambda files: next(iter(files.values()))[:30],
)
def test_a_bad_file_of_a_run_is_named(files: dict[str, str], tmp_path: Path) -> None:
    write_run(tmp_path / "a", **files)
    (name,) = files
    with pytest.raises(DataError) as caught:
        read_runs(tmp_path)
    assert str(tmp_path / "a" / name.replace("_", ".")) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_yaml_without_aliases_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: {b: [1, 2.5, null, 'x * y & z']}\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": {"b": [1, 2.5, None, "x * y & z"]}}


def test_yaml_has_only_values_that_json_has(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 2024-01-01\nb: 2024-01-01 10:00:00\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": "2024-01-01", "b": "2024-01-01 10:00:00"}
    for tag in ("!!binary aGk=", "!!set {x}", "!!timestamp 2024-01-01", "!!python/name:os.system"):
        (tmp_path / "a.yaml").write_text(f"a: {tag}\n")
        with pytest.raises(DataError, match="could not determine a constructor"):
            read_yaml(tmp_path / "a.yaml")
    write_run(tmp_path / "a", config_yaml="seed: 2024-01-01\n")
    write_run(tmp_path / "b", config_yaml="seed: 2024-01-02\n")
    assert [run.value("seed") for run in read_runs(tmp_path)] == ["2024-01-01", "2024-01-02"]


def test_a_report_does_not_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    escape = "\x1b]0;x\x07\x1b[2J\u202e"
    for number in (1, 2):
        write_run(
            tmp_path / f"a{number}{escape}",
            run_json=json.dumps({"command": f"clozekit train 'task={number}{escape}'"}),
            results_json=json.dumps({f"loss{escape}": number}),
            config_yaml=json.dumps({"task": {"a": f"{number}{escape}"}}),
        )
    metric = f"loss{escape}"
    report(ReportConfig(folder=tmp_path, metric=metric, mode="min"))
    shown = capsys.readouterr().out
    assert "\\x1b" in shown and "\x1b" not in shown and "\u202e" not in shown
    assert "\x1b" not in (tmp_path / "report.txt").read_text()
