"""The measurements on a GPU, rehearsed on the CPU at toy sizes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.programs.commands import child_environment

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "gpu"


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The script runs tests of its own, which must not take part in this run, and transformers,
    # which other commands of tests do not have.
    environment = {
        name: value
        for name, value in child_environment().items()
        if not name.startswith("PYTEST_") and name != "PYTHONPATH"
    }
    return subprocess.run(
        [sys.executable, str(FOLDER / script), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def results_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    finished = run("measure.py", "--smoke", "--out", str(folder))
    logs = "".join(log.read_text() for log in folder.glob("*.log"))
    assert finished.returncode == 0, finished.stdout + finished.stderr + logs
    return folder / "results.json"


@pytest.mark.slow
def test_every_part_measures_all_its_rows(results_file: Path) -> None:
    results: dict[str, Any] = json.loads(results_file.read_text())
    assert list(results["parts"]) == ["tests", "pretraining", "fine_tuning", "text"]
    for part in results["parts"].values():
        assert part["failures"] == {} and part["not_measured"] == []
        assert set(part["rows"]) == set(part["unit_seconds"])
    rows = {name: list(part["rows"].values()) for name, part in results["parts"].items()}

    (tests,) = rows["tests"]
    assert tests["collected"] == tests["passed"] + tests["skipped"] > 0

    trained = [row for row in rows["pretraining"] + rows["fine_tuning"] if "programs" in row]
    assert {row["kind"] for row in trained} == {"pretraining", "classification", "questions"}
    for row in trained:
        compiled = {"transformers, compiled"} if row["compile"] != "off" else set()
        assert set(row["programs"]) == {"clozekit", "transformers"} | compiled
        ours = row["programs"]["clozekit"]["tokens_per_second"]["median"]
        for name, ratio in row["ratio"].items():
            theirs = row["programs"][name]["tokens_per_second"]["median"]
            assert ratio["median"] == pytest.approx(ours / theirs)

    predicted = [row for row in rows["fine_tuning"] if "ratio_of_forward" in row]
    assert {row["kind"] for row in predicted} == {"classification", "questions"}
    (text,) = rows["text"]
    assert [step for step, _ in text["loss"]] == [2, 4]
    assert text["held_out_loss"] == [[4, text["results"]["validation/loss"]]]


@pytest.mark.slow
def test_tables_name_the_card_in_every_row(results_file: Path) -> None:
    finished = run("tables.py", str(results_file))
    assert finished.returncode == 0, finished.stderr
    assert "### CPU" in finished.stdout
    parts = json.loads(results_file.read_text())["parts"]
    number = len(parts["pretraining"]["rows"]) + len(parts["fine_tuning"]["rows"])
    rows = [line for line in finished.stdout.splitlines() if line.startswith("| CPU |")]
    assert len(rows) == number


@pytest.mark.slow
def test_only_missing_rows_are_measured(results_file: Path, tmp_path: Path) -> None:
    before = results_file.read_bytes()
    finished = run("measure.py", "--smoke", "--out", str(results_file.parent))
    assert finished.returncode == 1
    assert "results.json has all rows of these parts" in finished.stderr
    assert results_file.read_bytes() == before

    results = json.loads(before)
    part = results["parts"]["pretraining"]
    kept, missing = part["rows"]
    del part["rows"][missing], part["unit_seconds"][missing]
    part["failures"][missing] = "it took too long"
    (tmp_path / "results.json").write_text(json.dumps(results))
    finished = run("measure.py", "--smoke", "--out", str(tmp_path))
    assert finished.returncode == 0, finished.stderr
    assert "pretraining" in finished.stdout and "fine_tuning" not in finished.stdout
    completed = json.loads((tmp_path / "results.json").read_text())
    assert completed["parts"]["text"] == results["parts"]["text"]
    again = completed["parts"]["pretraining"]
    assert again["rows"][kept] == part["rows"][kept] and missing in again["rows"]
    assert again["failures"] == {} and again["not_measured"] == []
