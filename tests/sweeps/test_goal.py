"""What a study of Optuna optimizes: a metric, in a direction, over the keys that are left open."""

import sqlite3

import optuna
import pytest

from clozekit.config.callbacks import FULL_SENTENCES_LOSS
from clozekit.config.train import TrainConfig
from clozekit.errors import ConfigError
from clozekit.sweeps.goal import check_evaluated, check_metric, direction_of
from tests.programs.commands import train_config
from tests.sweeps.fakes import FIXED, METRIC, Sweeps

INTERVAL = "optimizer.lr=interval(1e-4,1e-2)"
OPTUNA = (*FIXED, "hydra/sweeper=clozekit_optuna", "hydra.sweeper.n_trials=1")
MINIMIZE = "hydra.sweeper.direction=minimize"
ACCURACY = "hydra.sweeper.metric=validation/mlm_accuracy"
EXPERIMENT = """# @package _global_
hydra:
  sweeper:
    params:
      optimizer.lr: interval(1e-4,1e-2)
      seed: 7
      optimizer.weight_decay: choice(0.0,0.1)
"""


def config(*overrides: str) -> TrainConfig:
    return train_config("name=mine", "data.path=corpus", "max_steps=1", *overrides)


def study() -> optuna.Study:
    return optuna.load_study(study_name="mine", storage="sqlite:///runs/mine/study.db")


def test_the_task_says_what_is_best() -> None:
    assert direction_of(config()) == "minimize"
    assert direction_of(config("task=tagging", "data=tagging", "data.train=a.csv")) == "maximize"
    chosen = ("callbacks.checkpoints.monitor=a", "callbacks.checkpoints.mode=max")
    assert direction_of(config(*chosen)) == "maximize"


def test_metrics_of_ones_own_are_not_checked_by_their_names() -> None:
    for more in ("task._target_=my.Task", "+callbacks.x={_target_: my.Callback}"):
        check_metric("validation/mine", "minimize", config(more))
        check_metric("validation/accuracy", "minimize", config(more))
    check_metric("validation/news/mlm_loss", "minimize", config())
    check_metric(FULL_SENTENCES_LOSS, "minimize", config("callbacks=[checkpoints,full_sentences]"))


@pytest.mark.parametrize(
    ("metric", "direction", "own"),
    [
        ("validation/mlm_accuracy", "minimize", "maximize"),
        ("test/news/mlm_loss", "maximize", "minimize"),
        (FULL_SENTENCES_LOSS, "maximize", "minimize"),
    ],
)
def test_a_direction_that_would_take_the_worst_is_refused(
    metric: str, direction: str, own: str
) -> None:
    with pytest.raises(ConfigError, match=f"={direction} would take the worst {metric}.* {own}$"):
        check_metric(metric, direction, config("callbacks=[checkpoints,full_sentences]"))


def test_the_sweeper_checks_the_direction(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweeps.run(*OPTUNA, INTERVAL, ACCURACY, MINIMIZE) == 2
    assert "hydra.sweeper.direction=minimize would take the" in capsys.readouterr().err
    assert not (sweeps.folder / "runs").exists()


NO_VALIDATION = "trainer.limit_val_batches=0"


@pytest.mark.parametrize(
    "more", [(NO_VALIDATION,), ("trainer.limit_val_batches=0,5", f"hydra.sweeper.metric={METRIC}")]
)
def test_runs_that_validate_nothing_have_nothing_to_optimize(
    more: tuple[str, ...], sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    direction = [MINIMIZE] if len(more) == 2 else []
    assert sweeps.run(*OPTUNA, INTERVAL, *more, *direction) == 2
    assert "trainer.limit_val_batches=0 leaves no value of " in capsys.readouterr().err
    assert not (sweeps.folder / "runs").exists()


def test_only_the_split_of_the_metric_has_to_be_evaluated() -> None:
    check_evaluated("test/loss", config(NO_VALIDATION))
    check_evaluated("step", config(NO_VALIDATION))
    with pytest.raises(ConfigError, match="limit_test_batches=0 leaves no value of"):
        check_evaluated("test/loss", config("+trainer.limit_test_batches=0"))


@pytest.mark.parametrize("has_attribute", [True, False])
def test_a_study_does_not_go_on_in_another_direction(
    has_attribute: bool, sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweeps.run(*OPTUNA, INTERVAL) == 0
    if not has_attribute:
        forget_metric()
    other = ("hydra.sweeper.n_trials=2", ACCURACY, "hydra.sweeper.direction=maximize")
    assert sweeps.run(*OPTUNA, INTERVAL, *other) == 2
    told = capsys.readouterr().err
    assert "hydra.sweeper.direction=maximize but the study mine has minimize; use another" in told
    assert sweeps.started == []


def forget_metric() -> None:
    """Makes the study one of an earlier version."""
    with sqlite3.connect("runs/mine/study.db") as database:
        database.execute("DELETE FROM study_user_attributes")


def test_a_study_does_not_go_on_with_another_metric(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    more = "hydra.sweeper.n_trials=2"
    assert sweeps.run(*OPTUNA, INTERVAL) == 0
    other = ("hydra.sweeper.metric=validation/mlm_loss", MINIMIZE)
    assert sweeps.run(*OPTUNA, INTERVAL, more, *other) == 2
    assert (
        "hydra.sweeper.metric=validation/mlm_loss but the study mine has values of "
        "'validation/loss'; use another name=… for the sweep" in capsys.readouterr().err
    )
    assert sweeps.started == []
    # That of the task, by its name.
    assert sweeps.run(*OPTUNA, INTERVAL, more, f"hydra.sweeper.metric={METRIC}", MINIMIZE) == 0


def test_nor_with_that_of_the_task(sweeps: Sweeps, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ("hydra.sweeper.metric=step", MINIMIZE)
    assert sweeps.run(*OPTUNA, INTERVAL, *chosen) == 0
    assert sweeps.run(*OPTUNA, INTERVAL, "hydra.sweeper.n_trials=2") == 2
    told = capsys.readouterr().err
    assert "hydra.sweeper.metric=validation/loss but the study mine has values of 'step'" in told
    assert sweeps.started == []


def test_a_study_of_an_earlier_version_goes_on(sweeps: Sweeps) -> None:
    assert sweeps.run(*OPTUNA, INTERVAL) == 0
    forget_metric()
    assert sweeps.run(*OPTUNA, INTERVAL, "hydra.sweeper.n_trials=2") == 0
    assert study().user_attrs == {"metric": METRIC}


def test_a_later_override_takes_a_key_out_of_the_space(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweeps.run(*OPTUNA, INTERVAL, "seed=1,2", "optimizer.lr=1e-3") == 0
    assert study().trials[0].params.keys() == {"seed"}
    assert sweeps.executor.jobs[0].job.config.optimizer.lr == 1e-3
    assert sweeps.run(*OPTUNA, INTERVAL, "optimizer.lr=1e-3") == 2
    assert "has nothing to sample" in capsys.readouterr().err


def test_an_earlier_one_does_not(sweeps: Sweeps) -> None:
    assert sweeps.run(*OPTUNA, "optimizer.lr=1", INTERVAL) == 0
    assert study().trials[0].params["optimizer.lr"] < 1


def test_the_command_line_fixes_what_an_experiment_sweeps(sweeps: Sweeps) -> None:
    folder = sweeps.folder / "own" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(EXPERIMENT)
    mine = ("--config-dir", "own", "experiment=mine", *OPTUNA)
    assert sweeps.run(*mine, "optimizer.lr=1e-3") == 0
    (trial,) = study().trials
    assert trial.params.keys() == {"seed", "optimizer.weight_decay"}
    job = sweeps.executor.jobs[0].job.config
    assert (job.optimizer.lr, job.seed) == (1e-3, 7), "a value of the experiment counts too"
