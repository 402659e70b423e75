"""The package's folders know those before them in the way of the data, never those after them."""

import ast
from pathlib import Path

import pytest

import clozekit

ROOMS = (
    "storage",
    "output",
    "processes",
    "config",
    "corpus",
    "metrics",
    "data",
    "models",
    "optim",
    "tasks",
    "interop",
    "runs",
    "training",
    "sweeps",
    "pages",
    "inspection",
    "inference",
    "benchmarks",
)
PACKAGE = Path(clozekit.__file__).parent
FILES = sorted(path for room in ROOMS for path in (PACKAGE / room).rglob("*.py"))

# The early check of a corpus folder reads its manifest, which is as light as a schema. The reader
# of rows, which preparation shares, imports nothing else of `data`.
EXCEPTIONS = {
    ("config/data.py", "corpus"),
    ("corpus/sources/readers.py", "data"),
    ("corpus/sources/tables.py", "data"),
}


def imported_rooms(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    ]
    parts = [module.split(".") for module in modules]
    return {names[1] for names in parts if names[0] == "clozekit" and len(names) > 1}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_knows_only_those_before_it(path: Path) -> None:
    file = str(path.relative_to(PACKAGE))
    room = file.split("/")[0]
    later = set(ROOMS[ROOMS.index(room) + 1 :]) | {
        "cli",
        "command",
        "prepare",
        "train",
        "inspect",
        "evaluate",
        "predict",
        "export",
        "merge",
        "report",
        "benchmark",
        "loading",
    }
    known = {name for name in imported_rooms(path) if (file, name) not in EXCEPTIONS}
    assert not known & later


def test_models_import_torch_and_nothing_of_lightning_or_hydra() -> None:
    for path in (PACKAGE / "models").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "lightning" not in text
        assert "hydra" not in text


def test_only_the_command_and_the_configuration_know_hydra() -> None:
    knowing = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "import hydra" in (text := path.read_text(encoding="utf-8")) or "from hydra" in text
    }
    assert {file for file in knowing if not file.startswith("config/")} == {
        "command.py",
        "verbs.py",
    }


def test_every_folder_is_a_room() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set(ROOMS)


def test_the_reader_of_rows_imports_nothing_else_of_data() -> None:
    for path in (PACKAGE / "data" / "files").glob("*.py"):
        rooms = imported_rooms(path) & set(ROOMS)
        assert rooms <= {"storage", "data"}, path
        text = path.read_text(encoding="utf-8")
        assert text.count("clozekit.data.") == text.count("clozekit.data.files"), path
