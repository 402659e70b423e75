"""Imports of the user's modules from the current folder.

The folder is not on `sys.path`: a file in it that has the name of a library, or of a module that a
library tries to import, would run in its place.
"""

import multiprocessing
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

_IMPORT_SYSTEM = ("importlib", "_frozen_importlib", "_frozen_importlib_external")


class FromCurrentFolder(MetaPathFinder):
    """Finds modules in a folder: those that the user names, and those that they import.

    Python asks it last, so that a library is never replaced.

    Args:
        folder: The folder.

    Attributes:
        names: The modules that the user names, without the part after the first dot.
        found: The modules that were found in the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: set[str] = set()
        self.found: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Finds a module at the top level; modules below it are found by their package."""
        if path is not None:
            return None
        if fullname not in self.names and _importer() not in self.found:
            return None
        spec = PathFinder.find_spec(fullname, [str(self.folder)])
        if spec is not None:
            self.found.add(fullname)
        return spec


def import_from_here(targets: Iterable[str]) -> None:
    """Makes modules in the current folder importable.

    Args:
        targets: The names of modules, or of classes and functions in them, that the user gave.
    """
    names = {target.partition(".")[0] for target in targets}
    folder = Path.cwd()
    for finder in sys.meta_path:
        if isinstance(finder, FromCurrentFolder) and finder.folder == folder:
            finder.names |= names
            return
    finder = FromCurrentFolder(folder)
    finder.names |= names
    sys.meta_path.append(finder)
    own = any(PathFinder.find_spec(name, [str(folder)]) for name in names)
    if own and multiprocessing.get_start_method() != "fork":
        # Worker processes get `sys.path`, but not the finder.
        sys.path.append(str(folder))


def targets_of(values: Any) -> Iterator[str]:
    """Yields the names of all classes and functions in a user's configuration."""
    if isinstance(values, Mapping):
        target = values.get("_target_")
        if isinstance(target, str):
            yield target
            # `hydra.utils.get_class` and others take a name.
            if target.startswith("hydra.utils.") and isinstance(values.get("path"), str):
                yield values["path"]
        for value in values.values():
            yield from targets_of(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from targets_of(value)


def _importer() -> str:
    """Returns the first part of the name of the module with the import statement."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if name not in _IMPORT_SYSTEM:
            return name
        frame = frame.f_back
    return ""
