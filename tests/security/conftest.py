"""What the tests of hostile files share."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MODULE = """
from clozekit.data.labelled.classification import ClassificationDataModule
from clozekit.models import Encoder
from clozekit.tasks.classification import ClassificationModule
from os import system
from subprocess import Popen

class OwnTask(ClassificationModule):
    def __init__(self, extra=None, **arguments):
        super().__init__(**arguments)
        self.extra = extra

class OwnData(ClassificationDataModule):
    pass

class OwnEncoder(Encoder):
    pass

class Part:
    def __init__(self, size):
        self.size = size
"""


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A file that hostile code would create."""
    path = tmp_path / "executed"
    yield path
    assert not path.exists(), "code of the checkpoint was executed"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_classes.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_classes", raising=False)
    return "own_classes"
