"""The picture of a run."""

import math
from pathlib import Path

import pytest

from clozekit.runs.curves import phase_changes, plot_curves, running_mean
from clozekit.runs.folder import RunFolder
from clozekit.runs.metrics_file import Series

HISTORY = """epoch,step,train/loss,train/learning_rate,validation/loss
,10,2.5,0.001,
1.0,10,,,2.75
,20,2.0,0.0005,
"""


def test_the_history_of_both_splits_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(HISTORY)
    plot_curves(RunFolder(tmp_path))
    whole = (tmp_path / "curves.png").read_bytes()
    assert whole.startswith(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "metrics.csv").write_text(HISTORY.splitlines()[0] + "\n")
    plot_curves(RunFolder(tmp_path))
    assert (tmp_path / "curves.png").read_bytes() != whole
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.csv", "curves.png"}


def test_without_a_history_nothing_is_drawn(tmp_path: Path) -> None:
    plot_curves(RunFolder(tmp_path))
    assert not list(tmp_path.iterdir())


def test_training_rows_are_drawn_with_their_running_mean() -> None:
    assert running_mean([1.0] * 19) is None
    values = [float(number % 2) for number in range(100)]
    means = running_mean(values)
    assert means is not None
    assert means[:4] == [0.0, 0.5, pytest.approx(1 / 3), 0.5]
    assert set(means[3:]) == {0.5}
    values[51] = math.inf
    means = running_mean(values)
    assert means is not None
    # Three of four values are left, of which one is 1.
    assert means[50:56] == [0.5, *[pytest.approx(1 / 3)] * 4, 0.5]
    assert all(math.isfinite(mean) for mean in means)


def test_a_phase_ends_at_its_last_logged_step() -> None:
    series: Series = {"train/phase": ([2, 4, 6, 8, 10], [1, 1, 2, 2, 4])}
    assert phase_changes(series) == [4, 8]
    assert phase_changes({"train/loss": ([2, 4], [1.0, 1.0])}) == []
