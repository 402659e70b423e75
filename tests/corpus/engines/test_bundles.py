"""Bundles of tasks: how many, in which order, and what happens to those that are lost."""

import os
from pathlib import Path

import pytest

from clozekit.corpus.engines import bundles
from clozekit.corpus.engines.bundles import Bundles, bundle_size, last_line, run_bundle
from clozekit.corpus.engines.stage import Stage
from clozekit.corpus.work_folder import Work
from clozekit.errors import DataError, WorkerError
from tests.corpus.made_texts import config


def work_in(work: Work, number: int) -> None:
    if number == 7:
        raise DataError("line 7")
    work.file("done", f"{number}-{Path.cwd()}".replace("/", "_")).touch()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    work = Work.of(config(tmp_path, {"format": "text", "path": "a.txt"}))
    work.folder.mkdir()
    return Stage.of("read", work_in, work, 10)


def run_jobs(found: Bundles) -> list[list[int]]:
    """Gives the waiting bundles to jobs, named by their first task."""
    taken = found.take()
    for bundle in taken:
        found.running[str(bundle[0])] = bundle
    return taken


@pytest.mark.parametrize(
    ("num_tasks", "asked", "size"), [(3, None, 8), (2_048, None, 8), (16_000, None, 63), (9, 2, 2)]
)
def test_there_are_a_few_hundred_jobs(num_tasks: int, asked: int | None, size: int) -> None:
    assert bundle_size(num_tasks, asked) == size
    assert -(-num_tasks // size) <= bundles.MOST_JOBS


def test_no_more_jobs_than_workers_run_at_once(stage: Stage) -> None:
    found = Bundles.of(stage, range(7), size=2, most_jobs=3)
    assert run_jobs(found) == [[0, 1], [2, 3], [4, 5]]
    assert run_jobs(found) == []
    for number in (0, 1, 2):
        stage.run(number)
    assert not found.look()
    assert run_jobs(found) == [[6]]
    for number in (3, 4, 5, 6):
        stage.run(number)
    assert found.look()


def test_few_tasks_are_shared_by_all_workers(stage: Stage) -> None:
    assert len(Bundles.of(stage, range(7), size=8, most_jobs=3).take()) == 3
    assert len(Bundles.of(stage, range(7), size=8, most_jobs=None).take()) == 1


def test_what_a_lost_job_has_not_done_is_run_again_a_few_times(stage: Stage) -> None:
    found = Bundles.of(stage, range(6), size=3, most_jobs=None)
    run_jobs(found)
    stage.run(0)
    for _ in range(bundles.RETRIES):
        (job,) = [job for job, bundle in found.running.items() if 1 in bundle]
        found.ended([job], lambda job: "none")
        assert run_jobs(found) == [[1, 2]]
    # Other jobs do not count for this task.
    found.ended(["3"], lambda job: "none")
    with pytest.raises(WorkerError, match=r"^read: task 1 was not done by any of 4 jobs; .* job 1"):
        found.ended(["1"], lambda job: f"job {job}")


def test_a_job_that_ended_after_its_last_task_is_not_lost(stage: Stage) -> None:
    found = Bundles.of(stage, [0], size=1, most_jobs=1)
    run_jobs(found)
    stage.run(0)
    found.ended(["0"], lambda job: "none")
    assert found.look()


@pytest.mark.parametrize("cores", [1, 2])
def test_a_bundle_runs_what_is_missing_and_returns_at_a_failure(
    stage: Stage, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    stage.run(0)
    run_bundle(stage, cores, str(tmp_path), [0, 1])
    run_bundle(stage, cores, str(tmp_path), [7])
    assert stage.done() == {0, 1}
    assert str(stage.first_failure()) == "line 7"
    # Relative paths are those of the coordinator.
    names = [path.name for path in (tmp_path / ".work" / "done").iterdir()]
    assert sorted(names) == ["0-_", "1-" + str(tmp_path).replace("/", "_")]


def test_a_folder_that_another_machine_does_not_have_is_told(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".work").rename(tmp_path / "elsewhere")
    node = os.uname().nodename
    with pytest.raises(DataError, match=rf"\.work does not exist on {node}; .* all nodes share"):
        run_bundle(stage, 1, str(tmp_path / "not-there"), [0])
    assert str(Path.cwd()) == "/"
    assert not (tmp_path / ".work").exists()


def test_the_last_line_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_line(log) is None
    log.write_text("first\nlast \n\n")
    assert last_line(log) == "last"
