"""What the tests of observed runs share."""

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from tests.programs.observed_runs import Run


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(corpus, tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def plain(run: Run) -> Path:
    """The folder of a run of 8 steps without any of these keys."""
    return run("plain", "max_steps=8")


@pytest.fixture(scope="module", autouse=True)
def no_pictures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leaves out `curves.png` of runs in this process, which takes longer than a short run.

    Modules that look at pictures have the mark `pictures`.
    """
    if request.node.get_closest_marker("pictures"):
        yield
        return
    with mock.patch("clozekit.train.plot_curves"):
        yield
