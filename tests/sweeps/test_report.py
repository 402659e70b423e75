"""`clozekit report` on folders of runs: whole sweeps, half ones, plain folders, single runs."""

import csv
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clozekit.command import run_verb
from clozekit.config.report import ReportConfig
from clozekit.errors import DataError, UserError
from clozekit.report import report
from clozekit.runs.lock import Lock
from clozekit.sweeps.job import Status
from clozekit.sweeps.read_runs import read_runs
from clozekit.sweeps.summary import summarize
from clozekit.sweeps.sweep_figures import is_log
from tests.sweeps.made_runs import ACCURACY, LOSS, make_record, make_run

FILES = {"report.txt", "results.csv", "report_values.png", "report_curves.png"}

LOSSES = {("0.001", 0): 2.0, ("0.001", 1): 3.0, ("0.0001", 0): 1.0, ("0.0001", 1): 1.5}


def job_name(lr: str, seed: int) -> str:
    return f"optimizer.lr-{lr}__seed-{seed}"


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep of four jobs that have all finished, without its record."""
    monkeypatch.chdir(tmp_path)
    for (lr, seed), loss in LOSSES.items():
        overrides = (f"optimizer.lr={lr}", f"seed={seed}")
        results = {LOSS: loss, ACCURACY: 1 / loss}
        make_run(Path("runs/lr") / job_name(lr, seed), *overrides, results=results)
    return Path("runs/lr")


def told(folder: Path, capsys: pytest.CaptureFixture[str], **more: str) -> list[str]:
    report(ReportConfig.model_validate({"folder": folder, **more}))
    return capsys.readouterr().out.splitlines()


def test_the_settings_come_best_first_with_mean_and_deviation(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "clozekit train data.path=corpus max_steps=10 optimizer.lr=0.0001 seed=0"
    assert told(sweep, capsys) == [
        "report of runs/lr: 4 of 4 runs finished, 2 settings, sorted by validation/loss "
        "(lower is better)",
        "",
        "optimizer.lr  runs  validation/loss  validation/accuracy",
        "0.0001        2/2   1.25 ± 0.35      0.8333 ± 0.24",
        "0.001         2/2   2.5 ± 0.71       0.4167 ± 0.12",
        "",
        "±: standard deviation over runs that differ only in the seed",
        "to repeat the best run, optimizer.lr-0.0001__seed-0 (validation/loss 1):",
        f"  {command} name=lr-again",
        "wrote report.txt, results.csv, report_values.png, report_curves.png to runs/lr",
    ]
    with (sweep / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows][:2] == [job_name("0.0001", 0), job_name("0.0001", 1)]
    assert rows[3] == {
        "run": job_name("0.001", 1),
        "status": "finished",
        "optimizer.lr": "0.001",
        "seed": "1",
        LOSS: "3.0",
        ACCURACY: repr(1 / 3),
    }


def test_only_the_report_is_written(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_of(sweep)
    told(sweep, capsys)
    after = files_of(sweep)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == FILES
    for name in FILES:
        is_picture = name.endswith(".png")
        assert after[name].startswith(b"\x89PNG\r\n\x1a\n") == is_picture
    assert told(sweep, capsys)[0].startswith("report of runs/lr: 4 of 4"), "once more"
    assert files_of(sweep).keys() == after.keys()


def test_the_record_names_what_did_not_finish(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {job_name(*job): Status.FINISHED for job in LOSSES}
    broken, stopped = job_name("0.001", 1), job_name("0.0001", 1)
    record |= {
        broken: Status.FAILED,
        stopped: Status.RUNNING,
        "optimizer.lr-1e-05__seed-0": Status.WAITING,
        "optimizer.lr-1e-05__seed-1": Status.FAILED,
    }
    (sweep / broken / "results.json").unlink()
    (sweep / stopped / "results.json").unlink()
    # Its jobs were there before the record, which is no sweep to go on with.
    write_record(sweep, record)
    lines = told(sweep, capsys)
    assert lines[0].startswith("report of runs/lr: 2 of 6 runs finished, 3 settings")
    rows = [line.split()[:3] for line in lines[3:6]]
    assert rows == [["0.0001", "1/2", "1"], ["0.001", "1/2", "2"], ["1e-05", "0/2", "-"]]
    assert f"failed (2): {broken}, optimizer.lr-1e-05__seed-1" in lines
    assert f"interrupted (1): {stopped}" in lines, "the sweep was killed, for its lock is free"
    assert "missing (1): optimizer.lr-1e-05__seed-0" in lines


def test_a_job_that_still_runs_is_told_by_its_lock(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running, unknown = job_name("0.001", 1), job_name("0.0001", 1)
    for name in (running, unknown):
        (sweep / name / "results.json").unlink()
    lock = Lock(sweep / running / ".lock")
    assert lock.acquire()
    lines = told(sweep, capsys)
    lock.release()
    assert f"running (1): {running}" in lines
    assert f"unfinished (1): {unknown}" in lines
    (sweep / unknown / "checkpoints").mkdir()
    (sweep / unknown / "checkpoints" / "preempted.ckpt").touch()
    assert f"interrupted (1): {unknown}" in told(sweep, capsys)


def test_a_sweep_of_which_nothing_has_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "seed-0", "seed=0")
    (tmp_path / "seed-1").mkdir()
    (tmp_path / "seed-1" / "job.log").write_text(
        "$ clozekit train data.path=corpus max_steps=10 seed=1 name=a/seed-1\nit breaks early\n"
    )
    lines = told(tmp_path, capsys)
    assert "0 of 2 runs finished, metric validation/loss (lower is better)" in lines[0]
    assert "unfinished (2): seed-0, seed-1" in lines
    assert "wrote report.txt, results.csv, report_curves.png to " in lines[-1]
    with pytest.raises(UserError, match="metric=a is not a metric of any run; no run has finished"):
        told(tmp_path, capsys, metric="a")


def test_a_single_run(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(sweep / job_name("0.001", 1), capsys)
    assert lines == [
        f"report of runs/lr/{job_name('0.001', 1)}: 1 of 1 run finished, metric validation/loss "
        "(lower is better)",
        "",
        "validation/loss  validation/accuracy",
        "3                0.3333",
        "",
        f"to repeat {job_name('0.001', 1)} (validation/loss 3):",
        "  clozekit train data.path=corpus max_steps=10 optimizer.lr=0.001 seed=1 name=lr-again",
        f"wrote report.txt, results.csv, report_curves.png to runs/lr/{job_name('0.001', 1)}",
    ]


def test_the_metric_may_be_another(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = told(sweep, capsys, metric=ACCURACY)[0]
    assert "sorted by validation/accuracy (higher is better)" in head
    lines = told(sweep, capsys, metric=ACCURACY, mode="min")
    assert "sorted by validation/accuracy (lower is better)" in lines[0]
    assert lines[2].split()[:3] == ["optimizer.lr", "runs", ACCURACY]
    assert lines[3].startswith("0.001 ")
    with pytest.raises(UserError, match=r"metric=validation/los is not .*; the metrics are valid"):
        told(sweep, capsys, metric="validation/los")


def test_a_study_is_judged_by_its_own_metric(sweep: Path) -> None:
    asked = f"hydra.sweeper.metric={ACCURACY} hydra.sweeper.direction=maximize"
    command = f"clozekit train -m {asked} 'a=b c'"
    write_record(sweep, {job_name("0.001", 0): Status.FINISHED}, command)
    criterion = summarize(read_runs(sweep)).criterion
    assert criterion is not None and (criterion.metric, criterion.mode) == (ACCURACY, "max")


def test_the_pictures_take_any_kind_of_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = [
        ("optimizer.lr=0.1", "schedule.decay=cosine", "seed=0"),
        ("optimizer.lr=0.001", "schedule.decay=linear", "optimizer.weight_decay=0"),
        ("optimizer.lr=0.01", "schedule.decay=linear", "optimizer.weight_decay=0.5"),
    ]
    for number, overrides in enumerate(values):
        make_run(
            tmp_path / f"{number}", *overrides, results={LOSS: number + math.nan * (not number)}
        )
    assert "report_values.png" in told(tmp_path, capsys)[-1]
    for seed in (0, 1):
        make_run(tmp_path / "seeds" / f"{seed}", f"seed={seed}", results={LOSS: 1.0})
    assert "report_values.png" in told(tmp_path / "seeds", capsys)[-1]
    assert is_log([1e-5, 1e-3]) and not is_log([0, 0.1]) and not is_log([1, 2, 3])


def test_a_file_of_the_users_is_left_alone(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (sweep / "results.csv").write_text("my,own\n")
    with pytest.raises(UserError, match=r"results.csv already exists and is not a report"):
        told(sweep, capsys)
    assert capsys.readouterr().out.startswith("report of runs/lr: 4 of 4"), (
        "it is told all the same"
    )
    assert (sweep / "results.csv").read_text() == "my,own\n"
    assert not (sweep / "report.txt").exists()


@pytest.mark.parametrize("name", ["report_values.png", "report_curves.png"])
def test_a_picture_of_the_users_is_left_alone(
    sweep: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (sweep / name).write_bytes(b"my own")
    with pytest.raises(UserError, match=rf"{name} already exists without a report\.txt"):
        told(sweep, capsys)
    assert (sweep / name).read_bytes() == b"my own"
    assert not (sweep / "report.txt").exists()
    (sweep / name).unlink()
    for _ in range(2):
        assert name in told(sweep, capsys)[-1], "those of an earlier report are replaced"


def test_a_file_that_cannot_be_read_is_named(sweep: Path) -> None:
    file = sweep / job_name("0.001", 0) / "results.json"
    file.write_text("{")
    with pytest.raises(DataError, match=f"{file} cannot be read as JSON .Expecting"):
        read_runs(sweep)


def test_the_command_needs_no_torch(sweep: Path) -> None:
    code = (
        "import sys; from clozekit.command import run_verb; sys.argv = ['clozekit', 'report', "
        f"{str(sweep)!r}]; code = run_verb('report'); print(code, 'torch' in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.stdout.splitlines()[-1] == "0 False", finished.stderr


def test_the_command_takes_the_folder_without_a_key(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["clozekit", "report", str(sweep), f"metric={ACCURACY}"])
    assert run_verb("report") == 0
    assert "sorted by validation/accuracy (higher is better)" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["clozekit", "report", str(sweep), "metric=acc"])
    assert run_verb("report") == 2
    error = capsys.readouterr().err
    assert error == (
        "clozekit report: metric=acc is not a metric of any run; the metrics are "
        f"{ACCURACY}, {LOSS}\n"
    )


def write_record(sweep: Path, statuses: dict[str, Status], command: str = "") -> None:
    """Writes a record into a folder that has runs already."""
    elsewhere = sweep.parent.parent / "elsewhere" / sweep.name
    make_record(elsewhere, statuses, command)
    shutil.copy(elsewhere / "sweep.json", sweep / "sweep.json")
    assert len(json.loads((sweep / "sweep.json").read_text())["jobs"]) == len(statuses)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
