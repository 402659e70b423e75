"""Metrics of a diverged run are kept: JSON has no NaN, so it is null in files."""

import json
import math
from pathlib import Path

import pytest

from clozekit.files import write_json
from clozekit.runs.metrics_file import read_metrics_of
from clozekit.runs.pruning_files import REPORT_FILE, Report, read_report, write_report


def test_results_that_are_not_finite_are_read_again(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    write_json(file, {"step": 3, "validation/loss": math.nan, "validation/accuracy": 0.5})
    found = read_metrics_of(file)
    assert math.isnan(found.pop("validation/loss"))
    assert found == {"step": 3, "validation/accuracy": 0.5}
    # As older versions wrote them.
    file.write_text('{"validation/loss": NaN}')
    assert math.isnan(read_metrics_of(file)["validation/loss"])


def test_a_sweep_reads_a_report_that_is_not_finite(tmp_path: Path) -> None:
    write_report(tmp_path, Report(step=1, max_steps=2, metrics={"a": math.inf, "b": 1.0}))
    json.loads((tmp_path / REPORT_FILE).read_text(), parse_constant=pytest.fail)
    report = read_report(tmp_path)
    assert report is not None and math.isnan(report.metrics["a"]) and report.metrics["b"] == 1
