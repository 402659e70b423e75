"""The verb: its jobs, in which order they run, and what is refused before the first one."""

import json
import random
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from clozekit.command import run_verb
from clozekit.runs.lock import Lock
from clozekit.sweeps.job import Job
from tests.benchmarks.fakes import Benchmarks
from tests.programs.commands import train_config
from tests.programs.task_files import write_classification

TOPICS = (
    "suite.tasks.topics.task=classification",
    "suite.tasks.topics.data.train=topics.csv",
    "suite.tasks.topics.data.test=test.csv",
    "suite.tasks.topics.data.max_seq_length=48",
)
NAMES = (
    "suite.tasks.names.task=tagging",
    "suite.tasks.names.data.train=names.conll",
    "suite.tasks.names.data.max_seq_length=16",
    "suite.tasks.names.data.doc_stride=6",
)
FIRST = ("checkpoint=first", "suite=local", "suite.rates=[1e-3,1e-2]")
QUIET = "overrides=[logger.wandb=null,callbacks.progress=null,global_batch_size=8]"


def by_rate(job: Job) -> Mapping[str, float]:
    """The larger rate is better on validation and worse on test."""
    value = job.config.optimizer.lr * 10
    names = ("accuracy", "f1")
    return {
        **{f"validation/{name}": value for name in names},
        **{f"test/{name}": 0.5 - value for name in names},
    }


def test_a_job_for_every_task_rate_and_seed(benchmarks: Benchmarks) -> None:
    assert benchmarks.run(*FIRST, *TOPICS, *NAMES, "seeds=2", scores=by_rate) == 0
    assert benchmarks.started == [
        f"first__{task}__lr-{rate}__seed-{seed}"
        for task in ("topics", "names")
        for rate in (0.001, 0.01)
        for seed in (0, 1)
    ]
    config = benchmarks.executor.started[-1].config
    assert (config.seed, config.optimizer.lr, config.max_epochs) == (1, 0.01, 3.0)
    assert config.encoder.pretrained == "first"
    checkpoints = config.callbacks["checkpoints"]
    assert checkpoints is not None and checkpoints.model_extra is not None
    assert checkpoints.model_extra["monitor"] == "validation/f1"
    results = benchmarks.results("benchmark-local-first")
    topics, names = results["checkpoints"][0]["tasks"]
    assert (topics["metric"], topics["rate"]) == ("test/accuracy", 0.01)
    assert topics["scores"] == pytest.approx([40.0, 40.0])
    assert (names["metric"], names["scores"]) == ("validation/f1", pytest.approx([10.0, 10.0]))


def test_a_job_trains_what_its_command_line_says(benchmarks: Benchmarks) -> None:
    special = "a, b = (c).csv"
    shutil.copy("topics.csv", special)
    other = ("suite.tasks.o.task=classification", f"suite.tasks.o.data.train={special}")
    labels = "suite.tasks.o.overrides=[task.class_weights={sea:2.0},callbacks.progress=null]"
    arguments = (*FIRST, *TOPICS, *other, labels, QUIET)
    assert benchmarks.run(*arguments, scores=by_rate) == 0
    for job in benchmarks.executor.started:
        assert job.arguments[0] == "train"
        assert train_config(*job.arguments[1:]) == job.config
    assert benchmarks.executor.started[-1].config.data.model_extra["train"] == special  # type: ignore[index]


def test_a_killed_benchmark_runs_only_what_has_not_finished(benchmarks: Benchmarks) -> None:
    arguments = (*FIRST, *TOPICS, "seeds=2")
    assert benchmarks.run(*arguments, scores=by_rate) == 0
    whole = benchmarks.results("benchmark-local-first")
    folder = Path("runs/benchmark-local-first")
    shutil.rmtree(folder / "jobs" / "first__topics__lr-0.001__seed-1")
    for name in ("results.json", "results.csv", "results.png"):
        (folder / name).unlink()
    assert benchmarks.run(*arguments, scores=by_rate) == 0
    assert benchmarks.started == ["first__topics__lr-0.001__seed-1"]
    assert benchmarks.results("benchmark-local-first") == whole
    assert benchmarks.run(*FIRST, *TOPICS, "seeds=3", scores=by_rate) == 0
    assert len(benchmarks.started) == 2, "a further seed"


def test_a_failed_job_leaves_its_rate_without_a_score(
    benchmarks: Benchmarks, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails_once(job: Job) -> Mapping[str, float] | None:
        is_bad = job.config.optimizer.lr == 0.01 and job.config.seed == 1
        return None if is_bad else by_rate(job)

    assert benchmarks.run(*FIRST, *TOPICS, "seeds=2", scores=fails_once) == 1
    (task,) = benchmarks.results("benchmark-local-first")["checkpoints"][0]["tasks"]
    assert task["rate"] == 0.001
    assert benchmarks.run(*FIRST, *TOPICS, "name=all", scores=lambda job: None) == 1
    told = capsys.readouterr().out
    assert "first, topics: 0 of 2 runs have finished" in told
    assert benchmarks.results("all")["is_complete"] is False
    assert benchmarks.run(*FIRST, *TOPICS, "name=all", scores=by_rate) == 0
    assert len(benchmarks.started) == 2, "failed ones are run again"


def test_a_task_starts_from_the_best_run_of_another(benchmarks: Benchmarks) -> None:
    second = [argument.replace("topics", "again", 1) for argument in TOPICS]
    second += ["suite.tasks.again.start_from=topics", "suite.tasks.again.data.train=test.csv"]
    arguments = (*FIRST, *second, *TOPICS, "seeds=2", "name=m")
    assert benchmarks.run(*arguments, scores=by_rate) == 0
    again = [job for job in benchmarks.executor.started if "__again__" in job.name]
    assert benchmarks.executor.started[-4:] == again
    for job in again:
        seed = job.config.seed
        assert job.config.encoder.pretrained == f"runs/m/jobs/first__topics__lr-0.01__seed-{seed}"
    results = benchmarks.results("m")
    assert [task["task"] for task in results["checkpoints"][0]["tasks"]] == ["again", "topics"]
    assert [job.is_dir() for job in sorted(Path("runs/m/jobs").glob("*/checkpoints"))] == [True] * 4
    assert benchmarks.run(*arguments, scores=by_rate) == 0
    assert benchmarks.started == []
    assert benchmarks.run(*arguments, "name=n", scores=lambda job: None) == 1
    assert not [name for name in benchmarks.started if "__again__" in name]


def test_no_task_starts_from_another_one_before_all_its_rates_are_known(
    benchmarks: Benchmarks,
) -> None:
    second = [argument.replace("topics", "again", 1) for argument in TOPICS]
    second += ["suite.tasks.again.start_from=topics", "suite.tasks.again.data.train=test.csv"]
    arguments = (*FIRST, *TOPICS, *second, "name=m")
    best = "first__topics__lr-0.01__seed-0"
    assert benchmarks.run(*arguments, scores=by_rate, interrupted=best) == 75
    assert benchmarks.started == ["first__topics__lr-0.001__seed-0", best]
    assert benchmarks.run(*arguments, scores=by_rate) == 0
    (*_, job) = benchmarks.executor.started
    assert job.config.encoder.pretrained == f"runs/m/jobs/{best}"


def test_two_checkpoints_with_the_same_scores_are_undecided(benchmarks: Benchmarks) -> None:
    two = "checkpoints=[first,second/best.ckpt]"
    (benchmarks.folder / "second").unlink()
    (benchmarks.folder / "second").mkdir()
    shutil.copy("first/checkpoints/last.ckpt", "second/best.ckpt")
    arguments = (two, *FIRST[1:], *TOPICS, "seeds=2", "name=two")
    assert benchmarks.run(*arguments, scores=by_rate) == 0
    (other,) = benchmarks.results("two")["comparison"]["differences"]
    assert other["label"] == "second-best"
    assert other["tasks"]["topics"] == {"mean": 0.0, "deviation": 0.0, "verdict": "undecided"}


def test_checkpoints_of_finished_jobs_are_kept_if_asked(benchmarks: Benchmarks) -> None:
    assert benchmarks.run(*FIRST, *TOPICS, "name=a", scores=by_rate) == 0
    assert not list(Path("runs/a/jobs").glob("*/checkpoints"))
    kept = (*FIRST, *TOPICS, "name=b", "keep_checkpoints=true")
    assert benchmarks.run(*kept, scores=by_rate) == 0
    assert len(list(Path("runs/b/jobs").glob("*/checkpoints"))) == 2


def test_a_suite_of_the_users_own(benchmarks: Benchmarks) -> None:
    (benchmarks.folder / "own" / "suite").mkdir(parents=True)
    task = {"task": "classification", "data": {"train": "topics.csv"}, "epochs": 2}
    suite = {"rates": [0.001], "tasks": {"topics": task}}
    (benchmarks.folder / "own" / "suite" / "mine.yaml").write_text(json.dumps(suite))
    given = ("checkpoint=first", "suite=mine", "--config-dir", "own")
    assert benchmarks.run(*given, scores=by_rate) == 0
    (job,) = benchmarks.executor.started
    assert job.arguments[:3] == ("train", "--config-dir", str(benchmarks.folder / "own"))
    assert job.config.max_epochs == 2
    assert (benchmarks.folder / "runs" / "benchmark-mine-first" / "results.csv").is_file()


MISTAKES: dict[str, tuple[list[str], str]] = {
    "no suite": (["checkpoint=first", "suite=nothing"], "suite=nothing does not exist; the choi"),
    "no suite at all": (["checkpoint=first"], "suite is missing; set suite=…, one of glue, glue_"),
    "null": (["checkpoint=first", "suite=null"], "suite=null: it should be one of glue, glue_"),
    "no tasks": ([*FIRST], "suite.tasks is empty; add a task"),
    "no checkpoint": (["suite=local", *TOPICS], "set either checkpoint=… or checkpoints=[…]"),
    "both": ([*FIRST, *TOPICS, "checkpoints=[first]"], "set either checkpoint=… or checkpoints="),
    "a missing checkpoint": (
        ["checkpoint=./none", "suite=local", *TOPICS],
        "checkpoint=./none is neither a run's folder",
    ),
    "a checkpoint twice": (
        ["checkpoints=[first,./first]", "suite=local", *TOPICS],
        "checkpoints: ./first is given twice",
    ),
    "a missing file": (
        [*FIRST, *TOPICS, "suite.tasks.topics.data.test=none.csv"],
        "suite.tasks.topics.data.test=none.csv does not exist",
    ),
    "no file": (
        [*FIRST, "suite.tasks.a.task=tagging"],
        "suite.tasks.a.data.train is missing; set suite.tasks.a.data.train=…",
    ),
    "a metric": (
        [*FIRST, *TOPICS, "suite.tasks.topics.metric=f2"],
        "suite.tasks.topics.metric=f2 is not a metric of task=classification; the metrics are acc",
    ),
    "the worst for the best": (
        [*FIRST, *TOPICS, "suite.tasks.topics.mode=min"],
        "suite.tasks.topics.mode=min would take the worst accuracy for the best",
    ),
    "a split that is not there": (
        [*FIRST, *NAMES, "suite.tasks.names.split=test"],
        "suite.tasks.names.split=test, but data.test is null",
    ),
    "a rate twice": ([*FIRST, *TOPICS, "suite.rates=[1e-3,0.001]"], "0.001 is given twice"),
    "no rates": ([*FIRST, *TOPICS, "suite.rates=[]"], "suite.rates"),
    "a seed twice": ([*FIRST, *TOPICS, "seeds=[1,1]"], "1 is given twice"),
    "no seeds": ([*FIRST, *TOPICS, "seeds=0"], "seeds=0"),
    "a task twice": (
        [*FIRST, *TOPICS, *(argument.replace("topics", "more", 1) for argument in TOPICS)],
        "suite.tasks.more is the same task as suite.tasks.topics",
    ),
    "the name of a task": (
        [*FIRST, "suite.tasks.a__b.task=classification"],
        "suite.tasks.a__b: a task's name can contain only letters",
    ),
    "the name of the average": (
        [*FIRST, "suite.tasks.average.task=classification"],
        "suite.tasks.average: this is the name of the average",
    ),
    "no kind of task": (
        [*FIRST, "suite.tasks.a.data.train=topics.csv"],
        "set either experiment, such as glue/rte, or task",
    ),
    "a task that is none": (
        [*FIRST, "suite.tasks.a.task=clasification"],
        "suite.tasks.a.task=clasification: there is no task or no data of this name; the tasks are",
    ),
    "a task without labels": (
        [*FIRST, "suite.tasks.a.task=masked_lm", "suite.tasks.a.data.path=runs"],
        "suite.tasks.a",
    ),
    "a key of a task": ([*FIRST, *TOPICS, "suite.tasks.topics.metrik=a"], "metrik"),
    "a key of its data": (
        [*FIRST, *TOPICS, "suite.tasks.topics.data.colour=a"],
        "suite.tasks.topics",
    ),
    "a start that is none": (
        [*FIRST, *TOPICS, "suite.tasks.topics.start_from=names"],
        "suite.tasks.topics.start_from=names: it should be another task of the suite; these are no",
    ),
    "a key of the benchmark's": (
        [*FIRST, *TOPICS, "overrides=[seed=3]"],
        "seed=3: the benchmark sets seed itself",
    ),
    "the launcher among overrides": (
        [*FIRST, *TOPICS, "overrides=[hydra.launcher.n_jobs=2]"],
        "set hydra.launcher.n_jobs for the benchmark, not for its jobs",
    ),
    "an override that is none": ([*FIRST, *TOPICS, "overrides=[gpu]"], "'gpu' is not an override"),
    "a wrong override": (
        [*FIRST, *TOPICS, "overrides=[global_batch_sise=8]"],
        "suite.tasks.topics: unknown key 'global_batch_sise'",
    ),
    "a name": ([*FIRST, *TOPICS, "name=../a"], "name"),
    "a sweep": ([*FIRST, *TOPICS, "-m"], "-m only works with clozekit train"),
    "two suites": ([*FIRST, *TOPICS, "suite=glue,local"], "several values need -m"),
    "trying out": ([*FIRST, *TOPICS, "overrides=[debug=fast]"], "fast_dev_run has no results"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line_before_anything_is_written(
    mistake: str, benchmarks: Benchmarks, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, message = MISTAKES[mistake]
    assert benchmarks.run(*arguments, scores=by_rate) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and message in told.err, told.err
    assert told.err.startswith("clozekit benchmark: ")
    assert benchmarks.started == []
    assert not (benchmarks.folder / "runs").exists()


def test_what_is_in_the_folder_is_left_alone(
    benchmarks: Benchmarks, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = benchmarks.folder / "runs" / "mine"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    assert benchmarks.run(*FIRST, *TOPICS, "name=mine", scores=by_rate) == 2
    assert "runs/mine already exists and is not a benchmark" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


CHANGES: dict[str, tuple[list[str], str]] = {
    "a task left out": (
        ["suite.tasks.topics=null", *NAMES],
        "also has the task topics, whose results would be lost; use another name=…",
    ),
    "a seed left out": (["seeds=[1]"], "also has the seed 0, whose results would be lost"),
    "a rate left out": (
        ["suite.rates=[1e-3]"],
        "also has the rate of suite.tasks.topics 0.01, whose results would be lost",
    ),
    "a key": (
        ["suite.epochs=2"],
        "was run with max_epochs=3.0, but the sweep has 2.0; use another name=…",
    ),
    "a file": ([], "the file topics.csv of suite.tasks.topics has changed since"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_benchmark_under_the_same_name_is_refused(
    change: str, benchmarks: Benchmarks, capsys: pytest.CaptureFixture[str]
) -> None:
    more, message = CHANGES[change]
    assert benchmarks.run(*FIRST, *TOPICS, scores=by_rate) == 0
    before = Path("runs/benchmark-local-first/results.json").read_bytes()
    if change == "a file":
        write_classification(Path("topics.csv"), 30, random.Random(3))
    assert benchmarks.run(*FIRST, *TOPICS, *more, scores=by_rate) == 2
    assert message in capsys.readouterr().err
    assert benchmarks.started == []
    assert Path("runs/benchmark-local-first/results.json").read_bytes() == before


def test_a_checkpoint_that_has_changed_is_refused(
    benchmarks: Benchmarks, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree("first/checkpoints", "copy/checkpoints")
    arguments = ("checkpoint=copy", *FIRST[1:], *TOPICS)
    assert benchmarks.run(*arguments, scores=by_rate) == 0
    for file in Path("copy/checkpoints").iterdir():
        file.write_bytes(file.read_bytes() + b"0")
    assert benchmarks.run(*arguments, scores=by_rate) == 2
    assert "copy has changed since; use another name=…" in capsys.readouterr().err


def test_a_benchmark_that_is_being_run_is_not_run_twice(
    benchmarks: Benchmarks, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = Lock(Path("runs/benchmark-local-first/.lock"))
    assert lock.acquire()
    lock.sign(12345)
    assert benchmarks.run(*FIRST, *TOPICS, scores=by_rate) == 2
    assert "is already run by process 12345 on" in capsys.readouterr().err
    lock.release()
    assert benchmarks.run(*FIRST, *TOPICS, scores=by_rate) == 0


def test_a_report_of_a_benchmark_is_its_table(
    benchmarks: Benchmarks,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert benchmarks.run(*FIRST, *TOPICS, "name=mine", scores=by_rate) == 0
    table = capsys.readouterr().out.partition("runs/mine/jobs: 2 finished\n")[2]
    monkeypatch.setattr(sys, "argv", ["clozekit", "report", "runs/mine"])
    assert run_verb("report") == 0
    assert capsys.readouterr().out == table
    assert "topics" in table
    monkeypatch.setattr(sys, "argv", ["clozekit", "report", "runs/mine", "metric=validation/f1"])
    assert run_verb("report") == 2
    assert "runs/mine is a benchmark, whose tasks have metrics of their own" in (
        capsys.readouterr().err
    )
    monkeypatch.setattr(sys, "argv", ["clozekit", "report", "runs/mine/jobs"])
    assert run_verb("report") == 0
    assert "2 of 2 runs finished, 2 settings" in capsys.readouterr().out


def test_tasks_of_glue_are_trained_on_local_files_of_its_schema(
    benchmarks: Benchmarks, hub: Path
) -> None:
    data = f"data.path={hub / 'nyu-mll' / 'glue'}"
    more = "data.max_seq_length=48,global_batch_size=4,micro_batch_size=4,data.num_workers=0"
    quiet = "logger.wandb=null,callbacks.progress=null"
    arguments = (
        *("checkpoint=first", "suite=glue_from_mnli", "suite.rates=[1e-3]", "suite.epochs=1"),
        f"overrides=[{data},{more},{quiet}]",
    )
    assert benchmarks.run(*arguments) == 0
    results: dict[str, Any] = benchmarks.results("benchmark-glue_from_mnli-first")
    (first,) = results["checkpoints"]
    assert {task["task"]: task["metric"].partition("/")[2] for task in first["tasks"]} == {
        "cola": "matthews_correlation",
        "stsb": "spearman",
        **dict.fromkeys(("mrpc", "qqp"), "f1"),
        **dict.fromkeys(("sst2", "mnli", "qnli", "rte", "wnli"), "accuracy"),
    }
    assert all(task["metric"].startswith("validation/") for task in first["tasks"])
    assert first["average"]["mean"] == pytest.approx(
        sum(task["mean"] for task in first["tasks"]) / 9
    )
    from_mnli = {
        job.name.split("__")[1]
        for job in benchmarks.executor.started
        if "__mnli__" in str(job.config.encoder.pretrained)
    }
    assert from_mnli == {"mrpc", "stsb", "rte"}
