"""What a benchmark refuses before its first job: mistakes, and folders that are another's."""

import random
import shutil
from pathlib import Path

import pytest

from clozekit.benchmarks.checkpoints import read_checkpoints
from clozekit.benchmarks.record import (
    BenchmarkRecord,
    TaskRecord,
    open_folder,
    write_benchmark,
)
from clozekit.errors import ConfigError
from clozekit.runs.lock import Lock
from tests.benchmarks.fakes import Benchmarks
from tests.benchmarks.given_tasks import FIRST, NAMES, TOPICS, by_rate
from tests.programs.task_files import write_classification

TASK = TaskRecord(
    name="topics",
    metric="accuracy",
    mode="max",
    factor=100.0,
    is_points=True,
    split="validation",
    rates=(0.001,),
)
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
    "a plan": ([*FIRST, *TOPICS, "overrides=[plan=true]"], "plan=true: a plan is that of one run"),
    "a rate twice": ([*FIRST, *TOPICS, "suite.rates=[1e-3,0.001]"], "0.001 is given twice"),
    "no rates": ([*FIRST, *TOPICS, "suite.rates=[]"], "suite.rates"),
    "a seed twice": ([*FIRST, *TOPICS, "seeds=[1,1]"], "1 is given twice"),
    "more seeds for rates": (
        [*FIRST, *TOPICS, "seeds=2", "rate_seeds=3"],
        "rate_seeds=3: it should be at most 2, the number of seeds",
    ),
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
        "suite.tasks.a: task=masked_lm is a pretraining task, without labels to learn; the tasks",
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
    "two suites": ([*FIRST, *TOPICS, "suite=glue,local"], "write 'suite=[glue,local]' for a list"),
    "a column": (
        [*FIRST, *TOPICS, "suite.tasks.topics.data.text_column=foo"],
        "suite.tasks.topics.data.text_column=foo: topics.csv has no such column; it has ",
    ),
    "no validation": (
        [*FIRST, *TOPICS, "overrides=[trainer.limit_val_batches=0]"],
        "suite.tasks.topics: trainer.limit_val_batches=0 leaves no validation",
    ),
    "no test": (
        [*FIRST, *TOPICS, "overrides=[+trainer.limit_test_batches=0]"],
        "suite.tasks.topics: trainer.limit_test_batches=0 leaves no results on data.test",
    ),
    "sizes of the checkpoint": (
        [*FIRST, *TOPICS, "overrides=[encoder.hidden_size=32]"],
        "suite.tasks.topics: encoder.hidden_size=32 has no effect with encoder.pretrained=first",
    ),
    "a key without effect": (
        [*FIRST, *TOPICS, "overrides=[schedule=constant,schedule.min_lr_ratio=0.5]"],
        "suite.tasks.topics: schedule.min_lr_ratio=0.5 has no effect with schedule.decay=constant",
    ),
    "another beginning": (
        [*FIRST, *TOPICS, "overrides=[from_run=runs/a]"],
        "from_run=runs/a: a job trains from checkpoint, so from_run cannot be set for it",
    ),
    "another name of a folder": (
        [*FIRST, "suite.tasks.a/b.task=classification"],
        "clozekit benchmark: 'suite.tasks.a/b.task=classification' is not an override",
    ),
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
        [*NAMES],
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
    tasks = () if change == "a task left out" else TOPICS
    assert benchmarks.run(*FIRST, *tasks, *more, scores=by_rate) == 2
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


def test_a_folder_of_rows_that_has_changed_is_refused(
    benchmarks: Benchmarks, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("rows").mkdir()
    shutil.copy("topics.csv", "rows/train.csv")
    of_folder = ("path=rows", "train=train", "max_seq_length=48")
    task = ("suite.tasks.topics.task=classification", "suite.rates=[1e-3]")
    arguments = (*FIRST, *task, *(f"suite.tasks.topics.data.{each}" for each in of_folder))
    assert benchmarks.run(*arguments, scores=by_rate) == 0
    write_classification(Path("rows/train.csv"), 30, random.Random(3))
    assert benchmarks.run(*arguments, scores=by_rate) == 2
    assert "the file rows/train.csv of suite.tasks.topics has changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("suite.tasks.again.metric=f1_macro", "again with metric=accuracy, not f1_macro"),
        ("suite.tasks.again.data.train=other.csv", "run with data.train=test.csv, but"),
        ("suite.tasks.again.data.max_seq_length=32", "run with data.max_seq_length=48, but"),
    ],
)
def test_another_dependent_task_is_refused_before_anything_is_written(
    change: str, message: str, benchmarks: Benchmarks, capsys: pytest.CaptureFixture[str]
) -> None:
    again = [each.replace("topics", "again", 1) for each in TOPICS if "data.test" not in each]
    again += ["suite.tasks.again.start_from=topics", "suite.tasks.again.data.train=test.csv"]
    arguments = (*FIRST, *TOPICS, *again, "name=m")
    assert benchmarks.run(*arguments, scores=by_rate) == 0
    shutil.copy("topics.csv", "other.csv")
    record = Path("runs/m/benchmark.json").read_bytes()
    capsys.readouterr()
    # The source has a new seed, which would be trained first.
    assert benchmarks.run(*arguments, "seeds=2", change, scores=by_rate) == 2
    assert message in capsys.readouterr().err
    assert benchmarks.started == []
    assert Path("runs/m/benchmark.json").read_bytes() == record


def test_a_checkpoint_with_another_tokenizer_is_another_one(tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    (before,) = read_checkpoints([str(tmp_path)])
    (tmp_path / "tokenizer.json").write_text('{"a": 1}')
    (after,) = read_checkpoints([str(tmp_path)])
    (tmp_path / "README.md").write_text("a note")
    assert (after,) == tuple(read_checkpoints([str(tmp_path)]))
    assert before.checksum == after.checksum and before.settings != after.settings
    record = BenchmarkRecord(name="a", suite="b", checkpoints=(before,), tasks=(TASK,), seeds=(0,))
    write_benchmark(tmp_path / "runs", record)
    open_folder(tmp_path / "runs", record)
    with pytest.raises(ConfigError, match="has changed since; use another name"):
        open_folder(tmp_path / "runs", record.model_copy(update={"checkpoints": (after,)}))
    earlier = record.model_copy(
        update={"checkpoints": (before.model_copy(update={"settings": ""}),)}
    )
    write_benchmark(tmp_path / "runs", earlier)
    open_folder(tmp_path / "runs", record)
