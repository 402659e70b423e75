"""The history in `metrics.csv`: a row at once, each step once, whatever a kill left."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clozekit.runs.csv_history import CSVHistory
from clozekit.runs.metrics_file import read_rows, read_series


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "metrics.csv"


def steps_of(file: Path, metric: str) -> list[int]:
    return read_series(file)[metric][0]


def test_a_row_is_in_the_file_once_it_is_logged(file: Path) -> None:
    history = CSVHistory(str(file))
    history.log_metrics({"train/loss": 0.1 + 0.2}, step=1)
    assert read_rows(file) == [{"step": "1", "train/loss": repr(0.1 + 0.2)}]


def test_a_new_metric_is_a_new_column_and_old_rows_stay(file: Path) -> None:
    history = CSVHistory(str(file))
    history.log_metrics({"train/loss": 3.0}, step=1)
    history.log_metrics({"validation/loss": 2.0, "train/loss": 1.0}, step=2)
    assert file.read_text().splitlines() == [
        "step,train/loss,validation/loss",
        "1,3.0,",
        "2,1.0,2.0",
    ]
    assert read_series(file) == {
        "train/loss": ([1, 2], [3.0, 1.0]),
        "validation/loss": ([2], [2.0]),
    }


def test_a_resumed_run_drops_what_came_after_its_checkpoint(file: Path) -> None:
    killed = CSVHistory(str(file))
    for step in range(1, 6):
        killed.log_metrics({"train/loss": float(step)}, step=step)
    resumed = CSVHistory(str(file))
    resumed.rewind(3)
    assert steps_of(file, "train/loss") == [1, 2, 3]
    for step in range(4, 8):
        resumed.log_metrics({"train/loss": float(step)}, step=step)
    assert read_series(file)["train/loss"] == ([*range(1, 8)], [float(s) for s in range(1, 8)])


def test_what_stands_at_the_checkpoints_step_is_not_logged_again(file: Path) -> None:
    killed = CSVHistory(str(file))
    killed.log_metrics({"train/loss": 1.0}, step=3)
    killed.log_metrics({"validation/loss": 2.0, "epoch": 1}, step=3)
    before = file.read_text()
    resumed = CSVHistory(str(file))
    resumed.rewind(3)
    resumed.log_metrics({"validation/loss": 2.0, "epoch": 1}, step=3)
    assert file.read_text() == before
    resumed.log_metrics({"test/loss": 4.0, "epoch": 1}, step=3)
    assert read_series(file)["test/loss"] == ([3], [4.0])
    assert read_series(file)["epoch"] == ([3, 3], [1.0, 1.0])
    assert steps_of(file, "validation/loss") == [3]


def test_a_row_that_a_kill_cut_is_dropped(file: Path) -> None:
    CSVHistory(str(file)).log_metrics({"train/loss": 1.5, "train/epoch": 0}, step=1)
    with file.open("a") as opened:
        opened.write("2,0.7")
    assert [row["step"] for row in read_rows(file)] == ["1"]
    resumed = CSVHistory(str(file))
    resumed.rewind(5)
    resumed.log_metrics({"train/loss": 0.75, "train/epoch": 0}, step=2)
    assert read_series(file)["train/loss"] == ([1, 2], [1.5, 0.75])


def test_a_run_that_begins_anew_has_an_empty_history(file: Path) -> None:
    CSVHistory(str(file)).log_metrics({"train/loss": 1.0}, step=1)
    CSVHistory(str(file)).rewind(0)
    assert read_rows(file) == []


def test_there_is_nothing_to_rewind_without_a_file(file: Path) -> None:
    CSVHistory(str(file)).rewind(3)
    assert not file.exists()


@pytest.mark.parametrize(
    "end",
    ["2,0.", "2", "2,0.7\n\0\0\0\0\n", "2,0.7,9,9\n", "x,0.7\n", "2,0.7e\n", '2,"a, b', '2,"a\n'],
)
def test_a_damaged_row_is_dropped_and_the_next_begins_a_line(end: str, file: Path) -> None:
    CSVHistory(str(file)).log_metrics({"train/loss": 1.5}, step=1)
    with file.open("a") as opened:
        opened.write(end)
    resumed = CSVHistory(str(file))
    resumed.rewind(1)
    resumed.log_metrics({"train/loss": 0.5}, step=2)
    assert file.read_text() == "step,train/loss\n1,1.5\n2,0.5\n"


@pytest.mark.parametrize("content", [b"", b"st", b"step,train/lo"])
def test_a_file_without_a_row_is_begun_anew(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    resumed = CSVHistory(str(file))
    resumed.rewind(3)
    resumed.log_metrics({"train/loss": 0.5}, step=4)
    assert file.read_text() == "step,train/loss\n4,0.5\n"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a,b\n1,2\n", b"\0\0\0\0\n"])
def test_a_file_that_is_no_history_is_kept_beside_the_new_one(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    resumed = CSVHistory(str(file))
    with pytest.warns(UserWarning, match=r"metrics\.csv is damaged; it is renamed to"):
        resumed.rewind(3)
    resumed.log_metrics({"train/loss": 0.5}, step=4)
    assert steps_of(file, "train/loss") == [4]
    assert file.with_name("metrics.csv.damaged").read_bytes() == content


TEXT = 'a,b"c\nd'


def test_text_is_kept_and_is_no_number(file: Path) -> None:
    history = CSVHistory(str(file))
    logged: dict[str, Any] = {"bar": 2.0, "txt": TEXT}
    history.log_metrics(logged, step=1)
    history.log_metrics({"new": 1.0}, step=2)  # a new column, for which all rows are written again
    written = 'step,bar,txt,new\n1,2.0,"a,b""c\\nd",\n2,,,1.0\n'
    assert file.read_text() == written
    assert read_rows(file)[0]["txt"] == 'a,b"c\\nd'
    assert read_series(file) == {"bar": ([1], [2.0]), "new": ([2], [1.0])}
    CSVHistory(str(file)).rewind(2)
    assert file.read_text() == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (torch.tensor(1.5), "1.5"),
        (torch.tensor(3), "3"),
        (np.float64(0.1), "0.1"),
        (np.float32(0.1), "0.1"),
        (math.nan, "nan"),
        (None, ""),
        ("", ""),
        ("1e5", "1e5"),
        (True, '"True"'),
        ("0.7e", '"0.7e"'),
        ("a\u2028b", '"a\\u2028b"'),
        # Longer than Python's csv reads by default.
        pytest.param("x" * 200_000, f'"{"x" * 200_000}"', id="long text"),
    ],
)
def test_other_values_are_written_as_by_lightning(value: Any, written: str, file: Path) -> None:
    CSVHistory(str(file)).log_metrics({"a": value, "step": 9.0}, step=1)
    assert file.read_text() == f"step,a\n1,{written}\n"
    CSVHistory(str(file)).rewind(1)
    assert file.read_text() == f"step,a\n1,{written}\n"


def test_a_row_without_a_step_has_that_of_the_last_row(file: Path) -> None:
    history = CSVHistory(str(file))
    history.log_metrics({"foo": 1.0})
    history.log_metrics({"train/loss": 1.0}, step=4)
    history.log_metrics({"foo": 2.0})
    resumed = CSVHistory(str(file))
    resumed.rewind(6)
    resumed.log_metrics({"bar": 3.0})
    assert read_series(file)["foo"] == ([0, 4], [1.0, 2.0])
    assert read_series(file)["bar"] == ([4], [3.0])


def test_a_row_without_a_step_has_that_of_the_run_and_is_not_twice_after_a_kill(file: Path) -> None:
    def log(history: CSVHistory, first: int, last: int) -> None:
        for done in range(first, last + 1):
            history.follow(lambda done=done: done)  # type: ignore[misc]
            history.log_metrics({"foo": float(done)})
            if done % 4 == 0:
                history.log_metrics({"train/loss": 1.0}, step=done)

    killed = CSVHistory(str(file))
    log(killed, 1, 7)
    assert steps_of(file, "foo") == [*range(1, 8)]
    resumed = CSVHistory(str(file))
    resumed.rewind(5)
    log(resumed, 6, 8)
    assert steps_of(file, "foo") == [*range(1, 9)]
    assert steps_of(file, "train/loss") == [4, 8]


def test_a_name_with_a_line_break_is_one_column(file: Path) -> None:
    history = CSVHistory(str(file))
    history.log_metrics({"a\nb": 1.0}, step=1)
    CSVHistory(str(file)).log_metrics({"a\nb": 2.0}, step=2)
    assert file.read_text() == "step,a\\nb\n1,1.0\n2,2.0\n"
