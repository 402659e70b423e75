"""The verb: its jobs, in which order they run, and what becomes of their results."""

import json
import random
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from clozekit.command import run_verb
from clozekit.sweeps.job import Job
from tests.benchmarks.fakes import Benchmarks
from tests.benchmarks.given_tasks import FIRST, NAMES, TOPICS, by_rate
from tests.programs.commands import train_config
from tests.programs.task_files import write_pairs

QUIET = "overrides=[logger.wandb=null,callbacks.progress=null,global_batch_size=8]"


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


def test_embeddings_have_a_score_too(benchmarks: Benchmarks) -> None:
    write_pairs(Path("pairs.jsonl"), 20, random.Random(0))
    pairs = ("suite.tasks.pairs.task=embedding", "suite.tasks.pairs.data.train=pairs.jsonl")
    scores = {"validation/mrr": 0.25, "validation/spearman": 0.5}
    assert benchmarks.run(*FIRST, *pairs, scores=lambda job: scores) == 0
    (task,) = benchmarks.results("benchmark-local-first")["checkpoints"][0]["tasks"]
    assert (task["metric"], task["scores"]) == ("validation/mrr", [25.0])
    more = (*pairs, "suite.tasks.pairs.metric=spearman", "name=other")
    assert benchmarks.run(*FIRST, *more, scores=lambda job: scores) == 0
    (task,) = benchmarks.results("other")["checkpoints"][0]["tasks"]
    assert (task["metric"], task["scores"]) == ("validation/spearman", [50.0])


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


def test_added_seeds_start_from_the_rate_that_the_first_ones_had(benchmarks: Benchmarks) -> None:
    def scores(job: Job) -> Mapping[str, float]:
        # With the second seed, the smaller rate is by far the best one.
        factor = -5.0 if job.config.seed == 1 else 1.0
        value = 0.5 + factor * job.config.optimizer.lr
        return {"validation/accuracy": value, "test/accuracy": value}

    second = [argument.replace("topics", "again", 1) for argument in TOPICS]
    second += ["suite.tasks.again.start_from=topics", "suite.tasks.again.data.train=test.csv"]
    arguments = (*FIRST, *TOPICS, *second, "name=m")
    assert benchmarks.run(*arguments, scores=scores) == 0
    assert benchmarks.run(*arguments, "seeds=2", scores=scores) == 0
    again = [job for job in benchmarks.executor.started if "__again__" in job.name]
    assert {job.config.encoder.pretrained for job in again} == {
        "runs/m/jobs/first__topics__lr-0.01__seed-1"
    }
    assert benchmarks.results("m")["is_complete"] is True


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


def test_some_seeds_try_all_rates_and_the_others_run_with_the_best_one(
    benchmarks: Benchmarks, capsys: pytest.CaptureFixture[str]
) -> None:
    def scores(job: Job) -> Mapping[str, float]:
        # With the second seed, the smaller rate would be the best one.
        factor = -0.5 if job.config.seed == 1 else 1.0
        value = 0.5 + factor * job.config.optimizer.lr
        return {"validation/accuracy": value, "test/accuracy": value}

    arguments = (*FIRST, *TOPICS, "seeds=3", "rate_seeds=1")
    assert benchmarks.run(*arguments, scores=scores) == 0
    jobs = [f"first__topics__lr-{each}" for each in ("0.001__seed-0", "0.01__seed-0")]
    jobs += [f"first__topics__lr-0.01__seed-{seed}" for seed in (1, 2)]
    assert benchmarks.started == jobs
    (task,) = benchmarks.results("benchmark-local-first")["checkpoints"][0]["tasks"]
    assert task["rate"] == 0.01
    assert task["scores"] == pytest.approx([51.0, 49.5, 51.0])
    assert [each["finished"] for each in task["tried"]] == [1, 3]
    told = capsys.readouterr().out
    assert "at the rate that is best on validation with seed 0" in told
    assert "[4/4]" in told
    assert benchmarks.run(*arguments, scores=scores) == 0
    assert benchmarks.started == []
    assert benchmarks.run(*arguments[:-1], "rate_seeds=2", scores=scores) == 0
    assert benchmarks.started == ["first__topics__lr-0.001__seed-1"]


def test_other_seeds_wait_for_an_interrupted_rate(benchmarks: Benchmarks) -> None:
    arguments = (*FIRST, *TOPICS, "seeds=2", "rate_seeds=1")
    last = "first__topics__lr-0.01__seed-0"
    assert benchmarks.run(*arguments, scores=by_rate, interrupted=last) == 75
    assert benchmarks.started[-1] == last
    assert benchmarks.run(*arguments, scores=by_rate) == 0
    assert benchmarks.started == [last, "first__topics__lr-0.01__seed-1"]


def test_other_seeds_start_from_the_runs_of_their_own_seed(benchmarks: Benchmarks) -> None:
    second = [argument.replace("topics", "again", 1) for argument in TOPICS]
    second += ["suite.tasks.again.start_from=topics", "suite.tasks.again.data.train=test.csv"]
    arguments = (*FIRST, *TOPICS, *second, "name=m", "seeds=2", "rate_seeds=1")
    assert benchmarks.run(*arguments, scores=by_rate) == 0
    assert [(job.config.seed, job.config.optimizer.lr) for job in benchmarks.executor.started] == [
        *((0, 0.001), (0, 0.01), (1, 0.01)),
        *((0, 0.001), (0, 0.01), (1, 0.01)),
    ]
    for job in benchmarks.executor.started[3:]:
        best = f"first__topics__lr-0.01__seed-{job.config.seed}"
        assert job.config.encoder.pretrained == f"runs/m/jobs/{best}"

    def fails(job: Job) -> Mapping[str, float] | None:
        return None if job.config.seed == 1 else by_rate(job)

    assert benchmarks.run(*arguments[:-3], *arguments[-2:], "name=n", scores=fails) == 1
    assert not [name for name in benchmarks.started if "__again__" in name]


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
    for given in ("metric=validation/f1", "mode=min"):
        monkeypatch.setattr(sys, "argv", ["clozekit", "report", "runs/mine", given])
        assert run_verb("report") == 2
        told = f"{given}: runs/mine is a benchmark, whose tasks have metrics of their own"
        assert told in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["clozekit", "report", "runs/mine/jobs"])
    assert run_verb("report") == 0
    assert "2 of 2 runs finished, 2 settings" in capsys.readouterr().out
