"""Scores from the results of jobs: the choice of the rate, averages, and the comparison by hand."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from clozekit.benchmarks.record import (
    BenchmarkRecord,
    CheckpointRecord,
    TaskRecord,
    job_name,
    write_benchmark,
)
from clozekit.benchmarks.report import report_benchmark
from clozekit.benchmarks.results import (
    BenchmarkResults,
    RateResult,
    best_rate,
    rate_result,
    read_results,
)
from clozekit.benchmarks.statistics import Spread, Verdict
from clozekit.benchmarks.tables import results_csv, results_json, shown
from clozekit.errors import DataError

SEEDS = (0, 1, 2)
RATES = (1e-5, 3e-5)
TOPICS: dict[str, Any] = {
    "name": "topics",
    "metric": "accuracy",
    "mode": "max",
    "factor": 100.0,
    "is_points": True,
    "split": "test",
    "rates": RATES,
}
ANSWERS = {**TOPICS, "name": "answers", "metric": "f1", "factor": 1.0, "split": "validation"}
LOSS = {**ANSWERS, "name": "words", "metric": "loss", "mode": "min", "is_points": False}


def record(*tasks: dict[str, Any], checkpoints: tuple[str, ...] = ("a", "b")) -> BenchmarkRecord:
    return BenchmarkRecord(
        name="mine",
        suite="local",
        checkpoints=tuple(
            CheckpointRecord(label=label, path=f"runs/{label}", checksum="0")
            for label in checkpoints
        ),
        tasks=tuple(TaskRecord(**task) for task in tasks),
        seeds=SEEDS,
    )


def write(folder: Path, label: str, task: str, rate: float, **metrics: list[float | None]) -> None:
    """Writes the results of a job for each seed; one with None has none."""
    for index, seed in enumerate(SEEDS):
        values = {name.replace("_", "/", 1): of_seed[index] for name, of_seed in metrics.items()}
        if None not in values.values():
            job = folder / "jobs" / job_name(label, task, rate, seed)
            job.mkdir(parents=True)
            (job / "results.json").write_text(json.dumps({"step": 1, **values}))


def both(folder: Path) -> BenchmarkResults:
    """Two checkpoints at two tasks.

    At `topics`, the second rate has the better test scores, but the first one the better validation
    scores. At `answers`, only the second rate has finished with all seeds.
    """
    for label, more in (("a", 0.0), ("b", 0.03)):
        scores = [0.70 + more, 0.71 + more + 0.01 * (more > 0), 0.75 + more - 0.01 * (more > 0)]
        write(
            folder,
            label,
            "topics",
            1e-5,
            validation_accuracy=[0.9, 0.8, 0.7],
            test_accuracy=[*scores],
        )
        high = [0.99, 0.99, 0.99]
        write(
            folder, label, "topics", 3e-5, validation_accuracy=[0.8] * 2 + [0.7], test_accuracy=high
        )
        write(folder, label, "answers", 1e-5, validation_f1=[99.0, 99.0, None])
        write(folder, label, "answers", 3e-5, validation_f1=[50.0, 60.0 - 100 * more, 70.0])
    return read_results(folder, record(TOPICS, ANSWERS))


def test_the_rate_is_chosen_on_validation_alone(tmp_path: Path) -> None:
    topics, answers = both(tmp_path).checkpoints[0].tasks
    assert (topics.chosen, topics.metric) == (1e-5, "test/accuracy")
    assert topics.scores == pytest.approx((70.0, 71.0, 75.0))
    assert answers.chosen == 3e-5, "a rate at which a seed is missing does not count"
    assert [each.finished for each in answers.tried] == [2, 3]


def test_the_average_is_over_tasks_for_each_seed(tmp_path: Path) -> None:
    average = both(tmp_path).checkpoints[0].average
    assert average is not None
    assert average.scores == pytest.approx((60.0, 65.5, 72.5))
    spread = average.spread
    assert spread is not None and spread.deviation is not None
    assert spread.mean == pytest.approx(66.0)
    assert spread.deviation == pytest.approx(math.sqrt((36 + 0.25 + 42.25) / 2))


def test_two_checkpoints_are_compared_as_by_hand(tmp_path: Path) -> None:
    (differences,) = both(tmp_path).differences
    # 3, 4 and 2 points: mean 3, deviation 1, limit 2.484.
    topics = differences["topics"]
    assert topics.spread.mean == pytest.approx(3.0)
    assert topics.spread.deviation == pytest.approx(1.0)
    assert topics.verdict == Verdict.BETTER
    # 0, -3 and 0 points: mean -1, deviation 1.732, limit 4.303.
    assert differences["answers"].spread.mean == pytest.approx(-1.0)
    assert differences["answers"].verdict == Verdict.UNDECIDED
    # 1.5, 0.5 and 1 points: mean 1, deviation 0.5, limit 1.242.
    assert differences["average"].spread.mean == pytest.approx(1.0)
    assert differences["average"].verdict == Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("mean", "deviation", "is_points", "expected"),
    [
        (72.004, 2.646, True, "72.00 ± 2.65"),
        (-0.0031, 0.0012, False, "-0.0031 ± 0.0012"),
        (2.5, 0.000031, False, "2.500000 ± 0.000031"),
        (0.25, None, False, "0.2500"),
        (0.0, 0.0, False, "0.0000 ± 0.0000"),
    ],
)
def test_losses_are_shown_with_enough_digits(
    mean: float, deviation: float | None, is_points: bool, expected: str
) -> None:
    assert shown(Spread(mean, deviation), is_points) == expected


def test_the_noise_of_float32_is_not_written(tmp_path: Path) -> None:
    accuracy = [0.44999998807907104] * 3
    write(tmp_path, "a", "topics", 1e-5, validation_accuracy=accuracy, test_accuracy=[*accuracy])
    results = read_results(tmp_path, record(TOPICS, checkpoints=("a",)))
    assert results_csv(results).splitlines()[1] == "a,topics,test/accuracy,1e-05,3,45.0,0.0,,,"
    assert results_json(results)["checkpoints"][0]["tasks"][0]["mean"] == 44.999998807907104


def test_what_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both(tmp_path)
    write_benchmark(tmp_path, record(TOPICS, ANSWERS))
    assert report_benchmark(tmp_path).is_complete
    told = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in told.split("\n")]
    assert next(row for row in rows if row[:1] == ["topics"])[:6] == [
        "topics",
        "test/accuracy",
        "72.00 ± 2.65",
        "1e-05",
        "75.00 ± 2.00",
        "1e-05",
    ]
    assert "+3.00 ± 1.00 better" in told and "-1.00 ± 1.73 undecided" in told
    assert "paired t-test, 95 %" in told
    with (tmp_path / "results.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [(row["checkpoint"], row["task"]) for row in written] == [
        (label, task) for label in "ab" for task in ("topics", "answers", "average")
    ]
    assert float(written[3]["difference"]) == pytest.approx(3.0)
    assert written[0]["verdict"] == "" and written[3]["verdict"] == "better"
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["checkpoints"][0]["tasks"][1]["tried"][0] == {
        "rate": 1e-5,
        "finished": 2,
        "validation": None,
        "scores": [],
    }
    assert found["comparison"]["differences"][0]["tasks"]["average"]["verdict"] == "undecided"
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")


def test_a_loss_has_no_place_in_the_average_and_the_smallest_is_best(tmp_path: Path) -> None:
    for rate, losses in ((1e-5, [2.0, 2.0, 2.0]), (3e-5, [1.0, 1.1, 1.2])):
        write(tmp_path, "a", "words", rate, validation_loss=[*losses])
        write(tmp_path, "a", "answers", rate, validation_f1=[50.0] * 3)
    (found,) = read_results(tmp_path, record(LOSS, ANSWERS, checkpoints=("a",))).checkpoints
    assert found.tasks[0].chosen == 3e-5
    assert found.average is None


def test_a_rate_whose_score_is_no_number_is_not_chosen() -> None:
    task = TaskRecord(**ANSWERS)
    good = rate_result(task, 1e-5, [{"validation/f1": 10.0}, {"validation/f1": 20.0}])
    bad = rate_result(task, 3e-5, [{"validation/f1": math.nan}, {"validation/f1": 90.0}])
    assert best_rate(task, [bad, good]) == good
    assert best_rate(task, [bad]) is None


def test_the_first_of_two_equal_rates_is_chosen() -> None:
    task = TaskRecord(**ANSWERS)
    same = [RateResult(rate, 1, 50.0, (50.0,)) for rate in RATES]
    assert best_rate(task, same) == same[0]


def test_results_without_the_metric_are_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"task answers at lr=1e-05 have no validation/f1; they"):
        rate_result(TaskRecord(**ANSWERS), 1e-5, [{"validation/loss": 1.0}])


def test_a_record_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pattern"):
        record({**TOPICS, "name": "../topics"})
    with pytest.raises(ValueError, match="pattern"):
        record(TOPICS, checkpoints=("../a",))
    (tmp_path / "benchmark.json").write_text("[]")
    with pytest.raises(DataError, match=r"benchmark\.json"):
        report_benchmark(tmp_path)
