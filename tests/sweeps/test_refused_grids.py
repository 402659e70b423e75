"""What a grid refuses before its first job: mistakes, and folders that are another's."""

import json
from pathlib import Path

import pytest

from clozekit.runs.lock import Lock
from tests.sweeps.fakes import FIXED, Sweeps
from tests.sweeps.swept_rates import LEARNING_RATES, ONE, OTHER


def test_another_configuration_under_the_same_name_is_refused(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweeps.run(*FIXED, LEARNING_RATES) == 0
    before = sweeps.files()
    capsys.readouterr()
    assert sweeps.run(*FIXED, f"{LEARNING_RATES},1e-5", "global_batch_size=32") == 2
    assert capsys.readouterr().err == (
        f"clozekit train: runs/mine/{ONE} was run with global_batch_size=64, but the sweep has 32; "
        "use another name=… for the sweep, or remove that folder\n"
    )
    assert sweeps.started == []
    assert sweeps.files() == before


def test_how_a_job_is_run_may_differ(sweeps: Sweeps) -> None:
    assert sweeps.run(*FIXED, LEARNING_RATES) == 0
    assert sweeps.run(*FIXED, LEARNING_RATES, "micro_batch_size=8", "trainer=ddp_cpu") == 0
    assert sweeps.started == []


MISTAKES = {
    "the last job's value": (["optimizer.lr=1e-3,1e-4,abc"], "optimizer.lr=abc: it should be a"),
    "a swept key": (["optimizer.lrr=1,2"], "unknown key 'optimizer.lrr' (did you mean 'lr'?)"),
    "a fixed key": ([LEARNING_RATES, "seeds=1"], "unknown key 'seeds' (did you mean 'seed'?)"),
    "a choice": (["encoder=tiny,tinny"], "encoder=tinny does not exist; the choices"),
    "a missing file": (["data.path=corpus,nowhere"], "nowhere"),
    "the grammar": (["seed=choice("], "seed=choice(: it should be a valid integer"),
    "the name, swept": (["name=a,b"], "name=a,b: name belongs to the sweep and cannot be"),
    "the name, with a blank": (["name='a b'"], "name=a b: a sweep's name can contain only letters"),
    "resume": (
        [LEARNING_RATES, "resume=runs/first"],
        "resume=runs/first: the jobs of a sweep re",
    ),
    "an interval": (
        ["optimizer.lr=interval(1,2)"],
        "optimizer.lr=interval(1,2): interval(…) needs hydra/sweeper=clozekit_optuna; without it",
    ),
    "a tag": (["seed=tag(log,range(1,9))"], "tag(log,…) needs hydra/sweeper=clozekit_optuna"),
    "a key of Optuna's": (
        ["seed=0,1", "hydra.sweeper.n_trials=3"],
        "unknown key 'hydra.sweeper.n_trials' with this choice of hydra/sweeper; n_trials is a "
        "key of hydra/sweeper=clozekit_optuna",
    ),
    "a key of submitit's": (
        ["seed=0,1", "hydra.launcher.timeout_min=3"],
        "timeout_min is a key of hydra/launcher=submitit",
    ),
    "no jobs": (["seed=0,1", "hydra.launcher.n_jobs=0"], "hydra.launcher.n_jobs=0: it should be"),
    "the fork server": (
        ["seed=0,1", "hydra.launcher.fork_server=2"],
        "hydra.launcher.fork_server=2: it should be",
    ),
    "nodes": (["seed=0,1", "trainer.num_nodes=2"], "trainer.num_nodes=2: a job of a sweep runs on"),
    "a plan": (["seed=0,1", "plan=true"], "plan=true prints what one run would take; use it"),
    "the launcher": (
        ["seed=0,1", "hydra/launcher=joblb"],
        "choices are basic, processes, submitit",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line_before_anything_is_written(
    mistake: str, sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides, message = MISTAKES[mistake]
    fixed = [o for o in FIXED if not any(o.split("=")[0] == c.split("=")[0] for c in overrides)]
    assert sweeps.run(*fixed, *overrides) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and message in told.err
    assert told.out == ""
    assert sweeps.started == []
    assert not (sweeps.folder / "runs").exists()


@pytest.mark.parametrize("launcher", ["basic", "own"])
def test_a_launcher_without_folders_for_its_jobs_is_refused(
    launcher: str, sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    own = sweeps.folder / "own" / "hydra" / "launcher" / "own.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("_target_: hydra._internal.core_plugins.basic_launcher.BasicLauncher")
    given = (*FIXED, LEARNING_RATES, f"hydra/launcher={launcher}", "--config-dir", "own")
    assert sweeps.run(*given) == 2
    assert capsys.readouterr().err == (
        f"clozekit train: hydra/launcher={launcher} is not supported: it gives all jobs of a sweep "
        "the same folder; use hydra/launcher=processes, which is the default, or submitit\n"
    )
    assert launcher == "own" or not (sweeps.folder / "runs").exists()
    assert not list((sweeps.folder).rglob("run.json"))


def test_a_single_run_of_that_name_is_left_alone(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    (sweeps.folder / "runs" / "mine").mkdir(parents=True)
    (sweeps.folder / "runs" / "mine" / "run.json").write_text("{}")
    before = sweeps.files()
    assert sweeps.run(*FIXED, LEARNING_RATES) == 2
    assert "runs/mine already exists and is not a sweep" in capsys.readouterr().err
    assert sweeps.files() == before


def test_a_folder_that_a_job_would_take_is_left_alone(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweeps.run(*FIXED, "optimizer.lr=1e-3") == 0
    (sweeps.folder / "runs" / "mine" / OTHER).mkdir()
    (sweeps.folder / "runs" / "mine" / OTHER / "notes.txt").write_text("mine")
    assert sweeps.run(*FIXED, LEARNING_RATES) == 2
    assert f"runs/mine/{OTHER} already exists" in capsys.readouterr().err
    assert sweeps.started == []


def test_a_sweep_that_is_being_run_is_not_run_twice(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = Lock(Path("runs/mine/.lock"))
    assert lock.acquire()
    lock.sign(12345)
    assert sweeps.run(*FIXED, LEARNING_RATES) == 2
    assert "the sweep runs/mine is already run by process 12345 on" in capsys.readouterr().err
    lock.release()
    assert sweeps.run(*FIXED, LEARNING_RATES) == 0


def test_a_record_of_a_newer_version_is_refused(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweeps.run(*FIXED, LEARNING_RATES) == 0
    file = sweeps.folder / "runs" / "mine" / "sweep.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format_version": 99}))
    assert sweeps.run(*FIXED, LEARNING_RATES) == 2
    assert "sweep.json was written by a newer clozekit" in capsys.readouterr().err
