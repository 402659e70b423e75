"""Whole sweeps: killed, interrupted, with a job that fails, and run again."""

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import optuna
import pytest

from tests.programs.commands import TINY, run_clozekit

pytestmark = pytest.mark.slow

STEPS = 8
GRID = ("optimizer.lr=1e-3,1e-4", "seed=0,1")
SMALL = (
    *TINY,
    "encoder.num_hidden_layers=1",
    f"max_steps={STEPS}",
    "global_batch_size=8",
    "micro_batch_size=4",
    "logger.wandb=null",
    "callbacks.progress=null",
)
WATCHER = (
    "+callbacks.watcher._target_=sweep_watcher.SweepWatcher",
    "+callbacks.watcher.folder=.",
)
TWO_RANKS = ("trainer=ddp_cpu",)
LINUX = sys.platform.startswith("linux")


def sweep(
    folder: Path, corpus: Path, *overrides: str, **watcher: object
) -> subprocess.CompletedProcess[str]:
    """Runs `clozekit train -m` with jobs that note their steps."""
    for module in ("sweep_watcher.py", "process_state.py"):
        shutil.copy(Path(__file__).with_name(module), folder)
    arguments = [f"+callbacks.watcher.{key}={value}" for key, value in watcher.items()]
    given = (f"data.path={corpus}", *SMALL, *WATCHER, *arguments, *overrides)
    return run_clozekit("train", "-m", "name=mine", *given, cwd=folder)


def jobs(folder: Path) -> dict[str, dict[str, Any]]:
    record = json.loads((folder / "runs" / "mine" / "sweep.json").read_text())
    return {job["name"]: job for job in record["jobs"]}


def processes_in(folder: Path) -> list[str]:
    """The command lines of the processes whose working directory is a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text())
    return found


def state(folder: Path, name: str) -> dict[str, Any]:
    """The state of a job's process, with its arguments as far as they are those of all jobs."""
    text = (folder / "states" / name).read_text()
    values: dict[str, Any] = json.loads(text.replace(name, "JOB").replace(str(folder), "FOLDER"))
    for key, length in (("argv", 2), ("orig_argv", 5)):
        values[key] = values[key][:length]
    values["title"] = values["title"].split()[:5]
    return values


def notes(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = (folder / "steps" / f"{name}.0").read_text().splitlines()
    return [json.loads(line) for line in lines]


def check_every_step_was_done_once(folder: Path, name: str) -> None:
    """In a process that was forked where that is possible, with the values of the job's name."""
    noted = notes(folder, name)
    assert {note["is_forked"] for note in noted} == {LINUX}
    assert [note["step"] for note in noted] == list(range(STEPS)), name
    (values,) = {(note["lr"], note["seed"]) for note in noted}
    assert name == f"optimizer.lr-{values[0]!r}__seed-{values[1]}"


@pytest.fixture(scope="module")
def killed(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A sweep that was killed in its second job and run again, and what both printed."""
    folder = tmp_path_factory.mktemp("killed")
    watcher = {"signal_name": "SIGKILL", "step": 3, "finished": 1}
    first = sweep(folder, corpus, *GRID, **watcher)
    assert first.returncode == -9, first.stderr
    second = sweep(folder, corpus, *GRID, **watcher)
    assert second.returncode == 0, second.stdout + second.stderr
    assert processes_in(folder) == []
    return folder, first.stdout, second.stdout


def test_a_killed_sweep_has_all_results_when_it_is_run_again(
    killed: tuple[Path, str, str],
) -> None:
    folder, first, second = killed
    names = [f"optimizer.lr-{lr}__seed-{seed}" for lr in ("0.001", "0.0001") for seed in (0, 1)]
    assert list(jobs(folder)) == names
    for name in names:
        assert (folder / "runs" / "mine" / name / "results.json").is_file()
        assert jobs(folder)[name]["status"] == "finished"
    assert f"[2/4] {names[1]}: started" in first and names[2] not in first
    assert f"[1/4] {names[0]}: already finished, validation/loss" in second
    assert "runs/mine: 4 finished\n" in second


def test_a_sweep_ends_with_its_report(killed: tuple[Path, str, str]) -> None:
    folder, first, second = killed
    assert "report of" not in first
    report = (folder / "runs" / "mine" / "report.txt").read_text()
    assert report in second
    head, _, titles, *rows = report.splitlines()
    assert head == (
        "report of runs/mine: 4 of 4 runs finished, 2 settings, sorted by validation/loss "
        "(lower is better)"
    )
    assert titles.split()[:3] == ["optimizer.lr", "runs", "validation/loss"]
    losses = {
        lr: [
            json.loads((folder / "runs" / "mine" / name / "results.json").read_text())[
                "validation/loss"
            ]
            for name in jobs(folder)
            if f"lr-{lr}__" in name
        ]
        for lr in ("0.001", "0.0001")
    }
    ranked = sorted(losses, key=lambda lr: mean(losses[lr]))
    for lr, row in zip(ranked, rows, strict=False):
        shown = [lr, "2/2", f"{mean(losses[lr]):.4g}", "±", f"{stdev(losses[lr]):.2g}"]
        assert row.split()[:5] == shown
    command = report.splitlines()[-1].strip()
    assert command.startswith("clozekit train ") and "name=mine-again" in command
    assert f"optimizer.lr={ranked[0]}" in command and "resume=" not in command
    for name in ("results.csv", "report_values.png", "report_curves.png"):
        assert (folder / "runs" / "mine" / name).is_file()


def test_no_step_of_a_killed_sweep_is_done_twice(killed: tuple[Path, str, str]) -> None:
    folder, _, _ = killed
    for name in jobs(folder):
        check_every_step_was_done_once(folder, name)


def test_what_a_kill_has_left_running_saves_and_is_gone_on_with(
    killed: tuple[Path, str, str],
) -> None:
    folder, _, _ = killed
    starts = [job["starts"] for job in jobs(folder).values()]
    assert starts == [1, 2, 1, 1]
    log = (folder / "runs" / "mine" / "optimizer.lr-0.001__seed-1" / "job.log").read_text()
    assert log.count("$ clozekit train ") == 2
    assert "resumed at step " in log and "preempted.ckpt" in log


def test_a_killed_study_has_the_trials_asked_for_and_none_twice(
    corpus: Path, tmp_path: Path
) -> None:
    space = ("optimizer.lr=tag(log,interval(1e-5,1e-2))", "seed=choice(0,1)")
    asked = (*space, "hydra/sweeper=clozekit_optuna", "hydra.sweeper.n_trials=3")
    watcher = {"signal_name": "SIGKILL", "step": 3, "finished": 1}
    assert sweep(tmp_path, corpus, *asked, **watcher).returncode == -9
    again = sweep(tmp_path, corpus, *asked, **watcher)
    assert again.returncode == 0, again.stdout + again.stderr
    study = optuna.load_study(study_name="mine", storage=f"sqlite:///{tmp_path}/runs/mine/study.db")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3
    assert len({str(trial.params) for trial in study.trials}) == 3
    assert [job["starts"] for job in jobs(tmp_path).values()] == [1, 2, 1]
    for trial, name in zip(study.trials, jobs(tmp_path), strict=True):
        check_every_step_was_done_once(tmp_path, name)
        results = json.loads((tmp_path / "runs" / "mine" / name / "results.json").read_text())
        assert trial.value == results["validation/loss"]
    assert "best of 3 trials: " in again.stdout
    assert "report of runs/mine: 3 of 3 runs finished" in again.stdout


def test_a_pruned_study_that_was_killed_equals_one_that_was_not(
    corpus: Path, tmp_path: Path
) -> None:
    asked = (
        *("optimizer.lr=choice(1e-2,3e-3,1e-5,1e-6)", "hydra/sweeper=clozekit_optuna"),
        *("hydra.sweeper.n_trials=4", "validate_every_n_steps=2"),
        "hydra.sweeper.pruner._target_=optuna.pruners.MedianPruner",
        "+hydra.sweeper.pruner.n_startup_trials=1",
    )
    found = {}
    for kind in ("whole", "killed"):
        folder = tmp_path / kind
        folder.mkdir()
        watcher = {"signal_name": "SIGKILL", "step": 1, "finished": 1} if kind == "killed" else {}
        finished = sweep(folder, corpus, *asked, **watcher)
        if kind == "killed":
            assert finished.returncode == -9, finished.stderr
            finished = sweep(folder, corpus, *asked, **watcher)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        study = optuna.load_study(
            study_name="mine", storage=f"sqlite:///{folder}/runs/mine/study.db"
        )
        # Samples that were drawn before are marked as failed at once.
        trials = [
            (t.params, t.state.name, t.value, t.intermediate_values)
            for t in study.trials
            if t.state.name != "FAIL"
        ]
        statuses = {name: job["status"] for name, job in jobs(folder).items()}
        # A run that was interrupted while it waited asks again when the next step begins.
        steps = {
            name: [note["step"] for note in notes(folder, name) if note["step"] < max(reported)]
            for name, (_, _, _, reported) in zip(statuses, trials, strict=True)
        }
        found[kind] = (trials, statuses, steps)
    assert found["killed"] == found["whole"]
    trials, statuses, steps = found["whole"]
    states = [state for _, state, _, _ in trials]
    assert states[0] == "COMPLETE" and "PRUNED" in states
    for name, (_, state, _, reported) in zip(statuses, trials, strict=True):
        assert list(reported) == list(range(2, len(steps[name]) + 1, 2))
        assert statuses[name] == {"COMPLETE": "finished", "PRUNED": "pruned"}[state]
        folder = tmp_path / "killed" / "runs" / "mine" / name
        assert (folder / "results.json").is_file() == (state == "COMPLETE")
        assert (folder / "checkpoints" / "last.ckpt").is_file()


def test_jobs_side_by_side_of_which_one_fails_and_one_is_killed(
    corpus: Path, tmp_path: Path
) -> None:
    asked = ("seed=0,1,2", "hydra.launcher.n_jobs=2")
    finished = sweep(tmp_path, corpus, *asked, fail_seed=1, kill_seed=2)
    assert finished.returncode == 1, finished.stderr
    assert "[2/3] seed-1: failed with exit code 1 after" in finished.stdout
    assert "RuntimeError: this one breaks" in finished.stdout
    assert "[3/3] seed-2: failed with exit code -9 after" in finished.stdout
    assert "[1/3] seed-0: finished in" in finished.stdout
    assert "report of runs/mine: 1 of 3 runs finished" in finished.stdout
    assert "failed (2): seed-1, seed-2\n" in finished.stdout
    first, second = finished.stdout.splitlines()[:2]
    assert "seed-0: started" in first and "seed-1: started" in second
    assert {name: job["status"] for name, job in jobs(tmp_path).items()} == {
        "seed-0": "finished",
        "seed-1": "failed",
        "seed-2": "failed",
    }
    assert notes(tmp_path, "seed-0")[0]["group"] == "mine"
    (tmp_path / "mended").touch()
    again = sweep(tmp_path, corpus, *asked, fail_seed=1, kill_seed=2)
    assert again.returncode == 0, again.stdout + again.stderr
    assert [job["starts"] for job in jobs(tmp_path).values()] == [1, 2, 2]


def test_ctrl_c_ends_a_sweep_with_a_checkpoint_of_what_ran(corpus: Path, tmp_path: Path) -> None:
    # A sweep without the process that forks its jobs can still stop them.
    watcher: dict[str, object] = {"signal_name": "SIGINT", "step": 3, "loses_server": LINUX}
    finished = sweep(tmp_path, corpus, "seed=0,1", *TWO_RANKS, **watcher)
    assert finished.returncode == 130, finished.stderr
    assert "SIGINT: the running jobs will save and exit" in finished.stdout
    assert "seed-0: interrupted with exit code 75" in finished.stdout
    assert finished.stderr == ""
    statuses = [job["status"] for job in jobs(tmp_path).values()]
    assert statuses == ["interrupted", "waiting"]
    checkpoints = tmp_path / "runs" / "mine" / "seed-0" / "checkpoints"
    assert (checkpoints / "preempted.ckpt").is_file()
    assert not (tmp_path / "runs" / "mine" / "seed-1").exists()
    assert "interrupted (1): seed-0\nmissing (1): seed-1\n" in finished.stdout


@pytest.fixture(scope="module")
def submitted(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep whose only job submitit started, as a new process."""
    folder = tmp_path_factory.mktemp("submitted")
    submitit = ("hydra/launcher=submitit", "hydra.launcher.cluster=local")
    finished = sweep(folder, corpus, "seed=choice(1)", *submitit)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "[1/1] seed-1: finished in" in finished.stdout
    return folder


def test_submitit_runs_the_same_jobs_in_the_same_folders(submitted: Path, corpus: Path) -> None:
    assert [job["status"] for job in jobs(submitted).values()] == ["finished"]
    again = sweep(submitted, corpus, "seed=choice(1)")
    assert "[1/1] seed-1: already finished" in again.stdout


def test_a_forked_job_is_like_a_new_process(submitted: Path, killed: tuple[Path, str, str]) -> None:
    folder, _, _ = killed
    assert not notes(submitted, "seed-1")[0]["is_forked"]
    forked, new = state(folder, "optimizer.lr-0.001__seed-0"), state(submitted, "seed-1")
    for values in (forked, new):
        values |= values.pop("environment")
    differing = {key for key in forked | new if forked.get(key) != new.get(key)}
    of_submitit = {key for key in new if key.startswith("SUBMITIT_")} | {"CUDA_VISIBLE_DEVICES"}
    assert differing - of_submitit <= {"PL_GLOBAL_SEED", "PYTEST_CURRENT_TEST"}
    assert forked["title"][1:] == ["-P", "-m", "clozekit", "train"]
