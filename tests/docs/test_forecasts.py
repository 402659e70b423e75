"""The table of forecasts, and that its configurations can be composed."""

import json
from pathlib import Path
from typing import Any

import pytest
from experiments import summary
from experiments.forecasts import tables
from experiments.forecasts.configurations import CONFIGURATIONS

from clozekit.config.train import TrainConfig
from tests.docs.pages import ROOT
from tests.programs.commands import compose_values

RUN = {
    "forecast": {"max_steps": 100.0, "seconds": 9.0, "memory_bytes": 3 * 2**28},
    "seconds": 10.0,
    "peak_bytes": 2**30,
    "time_error": -0.1,
    "memory_error": -0.25,
}
RESULTS: dict[str, Any] = {"machine": {"cores": 2}, "runs": {"a": RUN}}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_can_be_composed(name: str) -> None:
    given = compose_values("train", "name=a", "max_steps=9", *CONFIGURATIONS[name])
    assert TrainConfig.model_validate(given).max_steps == 9


def test_ten_configurations_are_compared() -> None:
    assert len(CONFIGURATIONS) == 10


def test_the_table_has_the_errors() -> None:
    lines = tables.table(RESULTS).splitlines()
    assert lines[2] == "| a | 100 | 10.0 s | 9.0 s | -10% | 1,024 MiB | 768 MiB | -25% |"
    assert lines[-1] == "Largest errors: time 10%, memory 25% in 1 configurations."


def test_the_row_of_all_experiments_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    file = tmp_path / "results.json"
    monkeypatch.setattr(summary, "RESULTS", file)
    assert summary.with_forecasts(text) == text
    file.write_text(json.dumps(RESULTS))
    filled = summary.with_forecasts(text)
    assert (
        "| 2 cores | time 10%, memory 25% in 1 configurations | "
        "[results.json](forecasts/results.json) |"
    ) in filled
    assert summary.with_forecasts(filled) == filled
