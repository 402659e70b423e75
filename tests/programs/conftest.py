"""What the tests of observed runs share."""

from pathlib import Path

import pytest

from tests.programs.observed_runs import Run


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(corpus, tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def plain(run: Run) -> Path:
    """The folder of a run of 8 steps without any of these keys."""
    return run("plain", "max_steps=8")
