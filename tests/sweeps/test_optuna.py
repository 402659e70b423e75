"""Optuna's sweeps: a study that is killed and run again has the trials asked for, each once."""

import json
import os
import signal
from inspect import signature
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel

from clozekit.config.composition.location import conf_dir
from clozekit.config.sweeps import (
    OptunaSweeperConfig,
    ProcessesLauncherConfig,
    SubmititLauncherConfig,
)
from clozekit.sweeps.job import Job
from clozekit.sweeps.study import OVERRIDES
from tests.sweeps.fakes import FIXED, Sweeps, plugin

OPTUNA = (*FIXED, "hydra/sweeper=clozekit_optuna")
INTERVAL = "optimizer.lr=tag(log,interval(1e-5,1e-1))"


def trials(name: str = "mine") -> list[FrozenTrial]:
    study = optuna.load_study(study_name=name, storage=f"sqlite:///runs/{name}/study.db")
    return study.get_trials()


def test_a_study_of_runs_that_are_only_tried_out_is_refused(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweeps.run(*OPTUNA, INTERVAL, "trainer.fast_dev_run=true") == 2
    assert "trainer.fast_dev_run writes no results, so Optuna" in capsys.readouterr().err


def test_a_study_has_the_trials_asked_for_and_no_more(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (*OPTUNA, INTERVAL, "seed=choice(3,5)")
    assert sweeps.run(*asked, "hydra.sweeper.n_trials=4") == 0
    assert len(set(sweeps.started)) == len(sweeps.started) == 4
    configs = [fake.job.config for fake in sweeps.executor.jobs]
    assert all(1e-5 <= config.optimizer.lr <= 1e-1 and config.seed in (3, 5) for config in configs)
    values = [trial.value for trial in trials()]
    assert values == [config.optimizer.lr for config in configs], "what the jobs' results say"
    assert (
        f"best of 4 trials: {sweeps.started[values.index(min(values))]}" in capsys.readouterr().out
    )
    assert sweeps.run(*asked, "hydra.sweeper.n_trials=4") == 0
    assert sweeps.started == []
    assert sweeps.run(*asked, "hydra.sweeper.n_trials=6") == 0
    assert len(sweeps.started) == 2
    assert len({str(trial.params) for trial in trials()}) == len(trials()) == 6


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_trial_that_was_interrupted_goes_on_in_its_folder(sweeps: Sweeps, n_jobs: int) -> None:
    asked = (*OPTUNA, INTERVAL, "hydra.sweeper.n_trials=4", f"hydra.launcher.n_jobs={n_jobs}")
    started: list[Job] = []

    def stop_at_the_third(job: Job) -> None:
        started.append(job)
        if len(started) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as exit_info:
        sweeps.run(*asked, on_start=stop_at_the_third)
    assert exit_info.value.code == 75
    left = [name for name, status in sweeps.statuses().items() if status == "interrupted"]
    assert left
    assert sweeps.run(*asked) == 0
    assert sweeps.started[: len(left)] == left
    assert len(sweeps.statuses()) == 4
    assert [trial.state for trial in trials()] == [TrialState.COMPLETE] * 4
    assert len({str(trial.params) for trial in trials()}) == 4


def test_a_trial_that_a_kill_left_before_it_began_is_no_trial(sweeps: Sweeps) -> None:
    asked = (*OPTUNA, INTERVAL, "hydra.sweeper.n_trials=2")
    assert sweeps.run(*asked) == 0
    study = optuna.load_study(study_name="mine", storage="sqlite:///runs/mine/study.db")
    study.ask()
    assert sweeps.run(*OPTUNA, INTERVAL, "hydra.sweeper.n_trials=3") == 0
    assert [t.state for t in trials()].count(TrialState.COMPLETE) == 3
    assert len(sweeps.started) == 1


def test_a_failed_trial_counts_and_is_run_again(sweeps: Sweeps) -> None:
    asked = (*OPTUNA, INTERVAL, "hydra.sweeper.n_trials=3")
    failed: list[str] = []

    def fails(job: Job) -> int:
        failed.append(job.name)
        return 1 if len(failed) == 2 else 0

    assert sweeps.run(*asked, exit_code=fails) == 1
    assert len(sweeps.started) == 3
    assert sweeps.run(*asked) == 0
    assert sweeps.started == [failed[1]]
    states = [trial.state for trial in trials()]
    assert states.count(TrialState.COMPLETE) == 3 and states.count(TrialState.FAIL) == 1
    assert sweeps.run(*asked) == 0
    assert sweeps.started == []


def test_a_small_space_ends_when_there_is_nothing_new(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (*OPTUNA, "seed=range(0,5,2)", "hydra.sweeper.n_trials=20")
    assert sweeps.run(*asked) == 0
    assert len(set(sweeps.started)) == len(sweeps.started) == 3
    assert "samples were duplicates or left out; stopping after 3 trials" in capsys.readouterr().out
    assert {t.params["seed"] for t in trials()} == {0, 2, 4}


def test_values_that_exclude_each_other_are_left_out(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ("encoder.hidden_size=choice(32,96)", "encoder.num_attention_heads=choice(2,3)")
    asked = (*OPTUNA, *sizes, "hydra.sweeper.n_trials=4")
    assert sweeps.run(*asked) == 0
    assert sorted(sweeps.started) == [
        "encoder.hidden_size-32__encoder.num_attention_heads-2",
        "encoder.hidden_size-96__encoder.num_attention_heads-2",
        "encoder.hidden_size-96__encoder.num_attention_heads-3",
    ]
    told = capsys.readouterr().out
    assert "encoder.hidden_size=32, encoder.num_attention_heads=3 is left out: " in told
    assert "duplicates or left out; stopping after 3 trials" in told
    assert sweeps.run(*asked) == 0
    assert sweeps.started == []


def test_a_study_that_holds_an_invalid_trial_goes_on(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ("encoder.hidden_size=choice(32,96)", "encoder.num_attention_heads=choice(2,3)")
    asked = (*OPTUNA, *sizes)
    assert sweeps.run(*asked, "hydra.sweeper.n_trials=1") == 0
    # Earlier versions began such a trial before they found that it is invalid.
    invalid = optuna.trial.create_trial(
        state=TrialState.RUNNING,
        params={"encoder.hidden_size": "32", "encoder.num_attention_heads": "3"},
        distributions=trials()[0].distributions,
        user_attrs={OVERRIDES: True},
    )
    study = optuna.load_study(study_name="mine", storage="sqlite:///runs/mine/study.db")
    study.add_trial(invalid)
    for number in (2, 3):
        assert sweeps.run(*asked, f"hydra.sweeper.n_trials={number}") == 0
        assert len(sweeps.started) == 1
        assert "num_attention_heads=3 is left out: " in capsys.readouterr().out


def test_a_fixed_value_before_the_sampled_ones_is_replaced(sweeps: Sweeps) -> None:
    asked = (*OPTUNA, "seed=1", "seed=choice(1,2)", "hydra.sweeper.n_trials=2")
    assert sweeps.run(*asked) == 0
    assert sorted(sweeps.started) == ["seed-1", "seed-2"]
    assert sweeps.run(*asked) == 0
    assert sweeps.started == []


def test_a_range_may_be_drawn_by_its_logarithm(sweeps: Sweeps) -> None:
    asked = ("seed=tag(log,range(1,100))", "hydra.sweeper.n_trials=1")
    assert sweeps.run(*OPTUNA, *asked) == 0
    drawn = trials()[0].distributions["seed"]
    assert drawn == optuna.distributions.IntDistribution(1, 99, log=True)


def test_the_user_may_say_it_too(sweeps: Sweeps) -> None:
    chosen = ("hydra.sweeper.metric=step", "hydra.sweeper.direction=maximize")
    assert sweeps.run(*OPTUNA, INTERVAL, "hydra.sweeper.n_trials=2", *chosen) == 0
    assert [trial.value for trial in trials()] == [1, 1]
    record = json.loads(Path("runs/mine/sweep.json").read_text())
    assert (record["metric"], record["direction"]) == ("step", "maximize")


MISTAKES = {
    "nothing to draw": ([], "hydra/sweeper=clozekit_optuna has nothing to sample"),
    "an end of an interval": (["optimizer.lr=interval(-1,1)"], "optimizer.lr=-1.0: it should be"),
    "an interval of whole numbers": (
        ["max_steps=interval(5,20)"],
        "max_steps=9.77464829275",
    ),
    "a choice": (["optimizer.lr=1,2", "encoder=tiny,nope"], "encoder=nope does not exist"),
    "a logarithm": (
        ["optimizer.lr=tag(log,interval(0,1))"],
        "optimizer.lr=tag(log,",
    ),
    "an unknown tag": (
        ["optimizer.lr=tag(foo,interval(1e-3,1))"],
        "optimizer.lr=tag(foo,interval(1e-3,1)): the only tag is log, of an interval(…) or of a "
        "range(…) of whole numbers in steps of 1",
    ),
    "the logarithm of choices": (["seed=tag(log,choice(1,2))"], "the only tag is log, of an inte"),
    "the logarithm of steps": (["seed=tag(log,range(1,9,2))"], "the only tag is log, of an inter"),
    "half a metric": (
        [INTERVAL, "hydra.sweeper.metric=test/a"],
        "metric and hydra.sweeper.direction",
    ),
    "a direction": (
        [INTERVAL, "hydra.sweeper.metric=test/a", "hydra.sweeper.direction=up"],
        "hydra.sweeper.direction=up: it should be 'minimize' or 'maximize'",
    ),
    "a number of trials": ([INTERVAL, "hydra.sweeper.n_trials=-1"], "hydra.sweeper.n_trials=-1"),
    "no trials": ([INTERVAL, "hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0: it should be"),
    "a metric of steps": (
        [INTERVAL, "hydra.sweeper.metric=train/loss", "hydra.sweeper.direction=minimize"],
        "hydra.sweeper.metric: train/loss: it should be a metric in results.json, such as",
    ),
    "a metric of no task": (
        [INTERVAL, "hydra.sweeper.metric=validation/los", "hydra.sweeper.direction=minimize"],
        "hydra.sweeper.metric=validation/los is not a metric of clozekit's tasks; the last part",
    ),
    "no number of trials": ([INTERVAL, "hydra.sweeper.n_trials=few"], "hydra.sweeper.n_trials=few"),
    "a key": ([INTERVAL, "hydra.sweeper.n_trial=2"], "unknown key 'hydra.sweeper.n_trial'"),
    "the official plugin, which is not installed": (
        ["hydra/sweeper=optuna"],
        "hydra/sweeper=optuna does not exist; the choices are basic, clozekit_optuna",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_before_anything_is_written(
    mistake: str, sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides, message = MISTAKES[mistake]
    assert sweeps.run(*OPTUNA, *overrides) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and message in told
    assert not (sweeps.folder / "runs").exists()


def test_an_unknown_metric_is_told(sweeps: Sweeps, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ("hydra.sweeper.metric=test/f1", "hydra.sweeper.direction=maximize")
    assert sweeps.run(*OPTUNA, INTERVAL, *chosen) == 2
    assert "hydra.sweeper.metric=test/f1 is not in the results of" in capsys.readouterr().err


def test_another_search_space_under_the_same_name_is_refused(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweeps.run(*OPTUNA, INTERVAL, "hydra.sweeper.n_trials=1") == 0
    assert sweeps.run(*OPTUNA, "optimizer.lr=1e-3,1e-4", "hydra.sweeper.n_trials=2") == 2
    assert "has a different search space" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "schema"),
    [
        ("launcher/processes", ProcessesLauncherConfig),
        ("launcher/submitit", SubmititLauncherConfig),
        ("sweeper/clozekit_optuna", OptunaSweeperConfig),
    ],
)
def test_a_plugins_keys_are_those_of_its_constructor(file: str, schema: type[BaseModel]) -> None:
    values = yaml.safe_load((conf_dir() / "hydra" / f"{file}.yaml").read_text())
    constructor = signature(plugin(values["_target_"].removeprefix("hydra_plugins.")))
    keys = [key for key in values if key[0] != "_"]
    assert keys == list(constructor.parameters) == list(schema.model_fields)
    assert schema.model_validate({key: values[key] for key in keys})


def test_storage_elsewhere(sweeps: Sweeps, tmp_path: Path) -> None:
    where = ("hydra.sweeper.storage='sqlite:///all.db'", "hydra.sweeper.study_name=shared")
    assert sweeps.run(*OPTUNA, INTERVAL, "hydra.sweeper.n_trials=1", *where) == 0
    study = optuna.load_study(study_name="shared", storage="sqlite:///all.db")
    assert len(study.trials) == 1
    assert not (tmp_path / "runs" / "mine" / "study.db").exists()


@pytest.mark.parametrize("content", [b"not a database", b"\0" * 4096])
def test_a_damaged_study_is_told_in_one_sentence(
    content: bytes, sweeps: Sweeps, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (*OPTUNA, INTERVAL, "hydra.sweeper.n_trials=1")
    assert sweeps.run(*asked) == 0
    (tmp_path / "runs" / "mine" / "study.db").write_bytes(content)
    assert sweeps.run(*asked) == 2
    told = capsys.readouterr().err
    assert "runs/mine/study.db cannot be read as a study of Optuna" in told
    assert "Traceback" not in told
