"""Files in the current folder run only if the user names them, and never in place of a library."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clozekit.config.composition.own_modules import FromCurrentFolder, import_from_here, targets_of
from tests.programs.commands import COMMAND, run_clozekit
from tests.security.strangers import write_checkpoint

# Libraries that are installed, modules of Python that are imported late, modules that libraries
# try to import, and what Hydra imports from everywhere.
BESIDE_THE_USER = (
    "sympy",
    "datasets",
    "yaml",
    "tokenizers",
    "difflib",
    "shlex",
    "csv",
    "jax",
    "tensorflow",
    "sklearn_extra",
    "my_tasks",
    "sitecustomize",
)


def test_the_command_imports_nothing_from_the_current_folder(tmp_path: Path) -> None:
    for name in BESIDE_THE_USER:
        code = f"open({str(tmp_path / 'ran')!r}, 'a').write('{name}\\n')\n"
        (tmp_path / f"{name}.py").write_text(code)
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins" / "evil.py").write_text(code)
    write_checkpoint(tmp_path / "a.ckpt")
    finished = run_clozekit(
        "predict", "checkpoint=a.ckpt", "text=the cow", cwd=tmp_path, command=COMMAND
    )
    assert finished.returncode == 0, finished.stderr
    assert "farm" in finished.stdout
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with modules, of which only some may be imported."""
    (tmp_path / "my_tasks.py").write_text(
        "import my_helpers\n\n\ndef later():\n    import my_late\n    return my_late.X\n"
    )
    for name in ("my_helpers", "my_late", "a_stranger", "sympy"):
        (tmp_path / f"{name}.py").write_text("X = 'from here'\n")
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "inner.py").write_text("X = 'from here'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("my_", "a_stranger")):
            del sys.modules[name]


def test_modules_that_the_user_names_are_found(folder: Path) -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("my_tasks")
    import_from_here(["my_tasks.MyTask", "my_package.inner.X", "sympy.Symbol"])
    found = importlib.import_module("my_tasks")
    assert found.my_helpers.X == "from here", "a module that it imports"
    assert found.later() == "from here", "also later"
    assert importlib.import_module("my_package.inner").X == "from here"
    assert not hasattr(importlib.import_module("sympy"), "X"), "a library is not replaced"
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("a_stranger")


def test_the_folder_is_asked_last_and_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Runs in this process have left theirs.
    others = [f for f in sys.meta_path if not isinstance(f, FromCurrentFolder)]
    monkeypatch.setattr(sys, "meta_path", others)
    import_from_here(["my_tasks"])
    import_from_here(["my_package"])
    assert isinstance(sys.meta_path[-1], FromCurrentFolder)
    assert sum(isinstance(finder, FromCurrentFolder) for finder in sys.meta_path) == 1
    assert str(folder) not in sys.path
    assert sys.meta_path[-1].names == {"my_tasks", "my_package"}


def test_all_classes_of_a_configuration_are_named() -> None:
    config = {
        "callbacks": {"x": {"_target_": "a.B", "inner": [{"_target_": "c.D"}]}, "y": None},
        "task": {"_target_": "hydra.utils.get_class", "path": "e.F"},
        "data": {"path": "not.a.class"},
    }
    assert list(targets_of(config)) == ["a.B", "c.D", "hydra.utils.get_class", "e.F"]
