"""Grids, by Hydra's own sweeper, under the launcher that is the default."""

import json
import os
import signal
from collections.abc import Callable

import pytest

from clozekit.sweeps.job import Job
from tests.sweeps.fakes import FIXED, Sweeps
from tests.sweeps.swept_rates import LEARNING_RATES, ONE, OTHER


def test_a_job_for_every_combination(sweeps: Sweeps) -> None:
    swept = (LEARNING_RATES, "seed=range(0,2)", "schedule=glob(warmup_*)")
    assert sweeps.run(*FIXED, *swept) == 0
    configs = [fake.job.config for fake in sweeps.executor.jobs]
    assert sorted((c.optimizer.lr, c.seed, c.schedule.decay) for c in configs) == sorted(
        (lr, seed, decay)
        for lr in (1e-3, 1e-4)
        for seed in (0, 1)
        for decay in ("linear", "cosine")
    )
    record = sweeps.record()
    assert [job["name"] for job in record["jobs"]] == sweeps.started
    assert record["sweep"] == list(swept)
    assert record["overrides"] == [o for o in FIXED if not o.startswith("name=")]
    assert {job["folder"] for job in record["jobs"]} == {
        f"runs/mine/{name}" for name in sweeps.started
    }


def test_jobs_that_are_only_tried_out_are_finished_without_results(sweeps: Sweeps) -> None:
    assert sweeps.run(*FIXED, LEARNING_RATES, "trainer.fast_dev_run=true") == 0
    assert {job["status"] for job in sweeps.record()["jobs"]} == {"finished"}


def test_a_job_is_a_single_run_of_its_own_name(sweeps: Sweeps) -> None:
    assert sweeps.run(*FIXED, LEARNING_RATES) == 0
    arguments = sweeps.executor.jobs[0].job.arguments
    fixed = [o for o in FIXED if not o.startswith("name=")]
    own = ["optimizer.lr=0.001", f"name=mine/{ONE}", "resume=auto"]
    assert list(arguments) == ["train", *fixed, *own]


def test_a_users_own_folder_of_configurations_goes_along(sweeps: Sweeps) -> None:
    (sweeps.folder / "own" / "experiment").mkdir(parents=True)
    text = (
        "# @package _global_\nseed: 7\nhydra:\n  sweeper:\n    params:\n      optimizer.lr: 1,2\n"
    )
    (sweeps.folder / "own" / "experiment" / "mine.yaml").write_text(text)
    assert sweeps.run("--config-dir", "own", "experiment=mine", *FIXED) == 0
    assert sweeps.started == ["optimizer.lr-1", "optimizer.lr-2"]
    job = sweeps.executor.jobs[0].job
    assert job.config.seed == 7
    assert job.arguments[:3] == ("train", "--config-dir", str(sweeps.folder / "own"))


def test_jobs_take_the_keys_of_the_run_that_they_begin_from(sweeps: Sweeps) -> None:
    run = sweeps.folder / "runs" / "stable"
    run.mkdir(parents=True)
    command = "clozekit train name=stable data.path=corpus seed=7 max_steps=9"
    (run / "run.json").write_text(json.dumps({"command": command}))
    swept = ("from_run=runs/stable", "from_step=2,4")
    assert sweeps.run("name=mine", "max_steps=10", "logger.wandb=null", *swept) == 0
    assert sweeps.started == ["from_step-2", "from_step-4"]
    configs = [fake.job.config for fake in sweeps.executor.jobs]
    assert [(c.seed, c.from_step, c.max_steps) for c in configs] == [(7, 2, 10), (7, 4, 10)]
    assert (configs[0].data.model_extra or {})["path"] == "corpus"


def test_what_has_finished_is_not_run_again(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweeps.run(*FIXED, LEARNING_RATES) == 0
    capsys.readouterr()
    assert sweeps.run(*FIXED, f"{LEARNING_RATES},1e-5") == 0
    assert sweeps.started == ["optimizer.lr-1e-05"]
    assert f"[1/3] {ONE}: already finished, validation/loss 0.001" in capsys.readouterr().out
    assert [job["starts"] for job in sweeps.record()["jobs"]] == [1, 1, 1]


def test_a_failed_job_is_told_and_stops_no_other(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(job: Job) -> int:
        return 3 if job.name == ONE else 0

    assert sweeps.run(*FIXED, LEARNING_RATES, exit_code=fails) == 1
    assert sweeps.statuses() == {ONE: "failed", OTHER: "finished"}
    assert [job["exit_code"] for job in sweeps.record()["jobs"]] == [3, 0]
    told = capsys.readouterr().out
    assert f"{ONE}: failed with exit code 3 after 0 s: and said this" in told
    assert f"runs/mine: 1 finished; 1 failed ({ONE})" in told
    assert sweeps.run(*FIXED, LEARNING_RATES) == 0
    assert sweeps.started == [ONE], "the failed one is run again"
    assert set(sweeps.statuses().values()) == {"finished"}
    assert [job["starts"] for job in sweeps.record()["jobs"]] == [2, 1]


FAIL_FAST = "hydra.launcher.fail_fast=true"


def test_the_first_failed_job_ends_a_sweep_that_fails_fast(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    swept = ("seed=0,1,2,3,4", "hydra.launcher.n_jobs=2", FAIL_FAST)
    with pytest.raises(SystemExit) as end:
        # The second runs on when the first has failed.
        sweeps.run(*FIXED, *swept, exit_code=lambda job: int(job.config.seed == 0), looks=3)
    assert end.value.code == 1
    assert sweeps.started == ["seed-0", "seed-1"]
    first, second = sweeps.executor.jobs
    assert first.signals == [] and second.signals in ([], [signal.SIGINT])
    statuses = list(sweeps.statuses().values())
    assert statuses[0] == "failed" and statuses[2:] == ["waiting"] * 3
    printed = capsys.readouterr().out
    told = "hydra.launcher.fail_fast=true: seed-0 has failed, so the sweep ends"
    assert printed.count(told) == 1
    assert "run the same command again to continue" in printed
    assert "report of runs/mine" in printed
    assert sweeps.run(*FIXED, *swept) == 0
    assert set(sweeps.statuses().values()) == {"finished"}


def test_the_others_are_told_to_stop_as_by_ctrl_c(sweeps: Sweeps) -> None:
    def slow_second(job: Job) -> None:
        for fake in sweeps.executor.jobs:
            fake.looks = 1 if fake.job.config.seed == 0 else 1000

    swept = ("seed=0,1,2", "hydra.launcher.n_jobs=2", FAIL_FAST)
    failing = {"exit_code": lambda job: int(job.config.seed == 0), "on_start": slow_second}
    with pytest.raises(SystemExit) as end:
        sweeps.run(*FIXED, *swept, **failing)
    assert end.value.code == 1
    assert sweeps.executor.jobs[1].signals == [signal.SIGINT]
    assert list(sweeps.statuses().values()) == ["failed", "interrupted", "waiting"]


def test_a_failure_ends_all_batches_of_hydras(sweeps: Sweeps) -> None:
    swept = ("seed=0,1", "hydra.sweeper.max_batch_size=1", FAIL_FAST)
    with pytest.raises(SystemExit) as end:
        sweeps.run(*FIXED, *swept, exit_code=lambda job: 1)
    assert end.value.code == 1
    assert sweeps.started == ["seed-0"]


def test_a_failure_in_one_batch_of_hydras_stops_no_other(sweeps: Sweeps) -> None:
    fails: Callable[[Job], int] = lambda job: 1  # noqa: E731
    overrides = (*FIXED, LEARNING_RATES, "hydra.sweeper.max_batch_size=1")
    assert sweeps.run(*overrides, exit_code=fails) == 1
    assert sweeps.started == [ONE, OTHER]


def test_a_job_that_was_preempted_makes_the_sweep_say_so(sweeps: Sweeps) -> None:
    assert sweeps.run(*FIXED, LEARNING_RATES, exit_code=lambda job: 75 * (job.name == ONE)) == 75
    assert sweeps.statuses() == {ONE: "interrupted", OTHER: "finished"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_reaches_the_running_jobs_and_nothing_new_starts(
    sweeps: Sweeps, number: signal.Signals, code: int
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as exit_info:
        sweeps.run(
            *FIXED,
            f"{LEARNING_RATES},1e-5",
            "hydra.launcher.n_jobs=2",
            looks=1000,
            on_start=lambda job: os.kill(os.getpid(), number) if job.name == OTHER else None,
        )
    assert exit_info.value.code == code
    assert [fake.signals for fake in sweeps.executor.jobs] == [[number], [number]]
    statuses = {ONE: "interrupted", OTHER: "interrupted", "optimizer.lr-1e-05": "waiting"}
    assert sweeps.statuses() == statuses
    assert signal.getsignal(number) == before
    assert sweeps.run(*FIXED, f"{LEARNING_RATES},1e-5") == 0
    assert len(sweeps.started) == 3


def test_a_third_signal_kills(sweeps: Sweeps) -> None:
    def thrice(job: Job) -> None:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(SystemExit):
        sweeps.run(*FIXED, LEARNING_RATES, looks=1000, on_start=thrice)
    (fake,) = sweeps.executor.jobs
    assert fake.signals == [signal.SIGINT, signal.SIGINT, signal.SIGKILL]


def test_jobs_run_side_by_side_as_asked(sweeps: Sweeps) -> None:
    assert sweeps.run(*FIXED, "seed=range(0,4)", "hydra.launcher.n_jobs=3") == 0
    assert len(sweeps.started) == 4
    assert sweeps.executor.slots[:3] == [0, 1, 2]
    assert sweeps.executor.most == 3


def test_what_a_killed_sweep_had_running_counts_as_interrupted(sweeps: Sweeps) -> None:
    assert sweeps.run(*FIXED, LEARNING_RATES) == 0
    file = sweeps.folder / "runs" / "mine" / "sweep.json"
    record = json.loads(file.read_text())
    record["jobs"][0] |= {"status": "running"}
    file.write_text(json.dumps(record))
    (sweeps.folder / "runs" / "mine" / ONE / "results.json").unlink()
    assert sweeps.run(*FIXED, "optimizer.lr=choice(1e-4)") == 0
    assert sweeps.statuses() == {ONE: "interrupted", OTHER: "finished"}
    assert sweeps.run(*FIXED, LEARNING_RATES) == 0
    assert sweeps.started == [ONE]


def test_a_sweep_ends_with_one_report_of_all_its_batches(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweeps.run(*FIXED, LEARNING_RATES, "hydra.sweeper.max_batch_size=1") == 0
    told = capsys.readouterr().out
    assert told.count("report of ") == 1
    assert "report of runs/mine: 2 of 2 runs finished, 2 settings, sorted by validation/" in told


def test_a_report_that_cannot_be_made_does_not_make_a_sweep_fail(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweeps.run(*FIXED, LEARNING_RATES) == 0
    (sweeps.folder / "runs" / "mine" / "results.csv").write_text("my,own\n")
    assert sweeps.run(*FIXED, LEARNING_RATES) == 0
    told = capsys.readouterr().err
    assert (
        told
        == "the report failed: runs/mine/results.csv already exists and is not a report; move it "
        "away\n"
    )


def test_what_hydra_is_told_of_a_run_holds_for_the_jobs(sweeps: Sweeps) -> None:
    (sweeps.folder / "own").mkdir()
    of_jobs = ("+hydra.job.env_set.MYVAR=3", "hydra.verbose=[mine]", "hydra.searchpath=[own]")
    of_the_sweep = (
        "hydra.launcher.n_jobs=2",
        "hydra.sweeper.max_batch_size=2",
        "hydra.sweep.dir=a",
    )
    swept = ("seed=${oc.env:MYVAR}", LEARNING_RATES)
    assert sweeps.run(*FIXED, *of_jobs, *of_the_sweep, *swept) == 0
    job = sweeps.executor.jobs[0].job
    assert job.arguments[: 1 + len(of_jobs)] == ("train", *of_jobs)
    assert not set(of_the_sweep) & set(job.arguments)
    assert job.config.seed == 3
    assert sweeps.started == [ONE, OTHER] == list(sweeps.statuses())
    assert "MYVAR" not in os.environ


def test_the_last_override_of_a_key_counts(sweeps: Sweeps) -> None:
    assert sweeps.run(*FIXED, "seed=1", "seed=2,3") == 0
    assert sweeps.started == ["seed-2", "seed-3"]
    assert sweeps.run(*FIXED[1:], "name=fixed", "seed=2,3", "seed=4") == 0
    assert sweeps.started == ["single"]
    assert [fake.job.config.seed for fake in sweeps.executor.jobs] == [4]
    (sweeps.folder / "own" / "experiment").mkdir(parents=True)
    text = "# @package _global_\nhydra:\n  sweeper:\n    params:\n      seed: 2,3\n"
    (sweeps.folder / "own" / "experiment" / "mine.yaml").write_text(text)
    own = ("--config-dir", "own", "experiment=mine", *FIXED[1:], "name=file")
    assert sweeps.run(*own, "seed=4") == 0
    assert [fake.job.config.seed for fake in sweeps.executor.jobs] == [4]
