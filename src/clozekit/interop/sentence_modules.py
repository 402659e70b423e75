"""The `modules.json` of sentence-transformers: what a model is made of, and where each part is."""

import re
from dataclasses import dataclass
from pathlib import Path

from clozekit.documents import read_json
from clozekit.errors import DataError

MODULES_FILE = "modules.json"
_SUBFOLDER = re.compile(r"(\w[\w.-]*(/\w[\w.-]*)*)?")


@dataclass(frozen=True)
class SentenceModule:
    """A part of a model of sentence-transformers.

    Attributes:
        kind: The name of its class, such as `Pooling`.
        folder: The folder of its files.
    """

    kind: str
    folder: Path


def read_modules(root: Path) -> list[SentenceModule]:
    """Reads the parts of a model, in their order.

    Args:
        root: The folder of the model.

    Returns:
        The parts; none if the folder is not of sentence-transformers.

    Raises:
        DataError: The file is damaged, or names a folder that is not within `root`.
    """
    file = root / MODULES_FILE
    if not file.is_file():
        return []
    modules = read_json(file)
    if not isinstance(modules, list) or not all(isinstance(each, dict) for each in modules):
        raise DataError(f"{file} cannot be read: it should be a JSON list of objects")
    return [_module(module, number, root) for number, module in enumerate(modules)]


def _module(module: dict[str, object], number: int, root: Path) -> SentenceModule:
    file = root / MODULES_FILE
    kind, path = (module.get(key) for key in ("type", "path"))
    if not isinstance(kind, str):
        raise DataError(f"{file}: type={kind} of the entry {number}; it should be a class's name")
    if not isinstance(path, str) or not _SUBFOLDER.fullmatch(path):
        raise DataError(f"{file}: path={path!r} is not the name of a folder in {root}")
    return SentenceModule(kind.rpartition(".")[2], root / path)
