"""What the tests of configurations share."""

from pathlib import Path

import pytest

from tests.config.given import Given
from tests.config.hub_folders import write_hub


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders in the layout of the hub's data sets."""
    return write_hub(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def given(corpus: Path, hub: Path, tmp_path: Path) -> Given:
    """A corpus, the hub's data sets, and a folder for all else."""
    return Given(corpus, hub, tmp_path)
