"""Sweeps whose jobs are not real."""

from pathlib import Path

import pytest

from tests.sweeps.fakes import Sweeps


@pytest.fixture
def sweeps(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Sweeps:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    # Its pictures take longer than all else here, and have tests of their own.
    monkeypatch.setattr("clozekit.report.plot_values", lambda summary, path: False)
    (tmp_path / "corpus").symlink_to(corpus)
    return Sweeps(tmp_path, monkeypatch)
