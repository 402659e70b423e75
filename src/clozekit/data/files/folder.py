"""The files of each split in a local folder, by their names."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_DESCRIPTION = re.compile(r"^(configs|dataset_info)[ \t]*:", re.MULTILINE)
_NAMED_AFTER_SPLIT = re.compile(
    r"(train(ing)?|valid(ation)?|val|dev|test(ing)?|eval(uation)?)[-._ 0-9]"
)


class SplitFiles(NamedTuple):
    """What a folder has.

    Attributes:
        by_split: The files of each split that are read.
        left_out: Other files of rows, and other files that are named after a split.
    """

    by_split: dict[str, list[str]]
    left_out: list[str]


def describes_data(folder: Path) -> bool:
    """Whether a folder says itself which files its splits have, and with which types.

    `datasets` follows `configs` and `dataset_info` in the front matter of a README.md. One that
    only describes the data for people, or names a license, says nothing of files.
    """
    if (folder / "dataset_infos.json").exists():
        return True
    readme = folder / "README.md"
    if not readme.is_file():
        return False
    front_matter = _FRONT_MATTER.match(readme.read_text("utf-8-sig", errors="replace"))
    return front_matter is not None and _DESCRIPTION.search(front_matter[1]) is not None


def files_by_split(folder: Path, is_read: Callable[[str], bool]) -> SplitFiles:
    """Finds the files of each split, by the names that `datasets` knows.

    Files of other formats do not count: `datasets` would take a single file of another program as a
    sign that the folder is that program's.

    Args:
        folder: The folder.
        is_read: Whether a file has a format that is read, by its name.
    """
    names = _visible_names(folder)
    read = [name for name in names if is_read(name)]
    by_split = {
        split: [str(folder / name) for name in of_split]
        for split, of_split in _split_by_name(read).items()
    }
    found = {file for of_split in by_split.values() for file in of_split}
    left_out = [
        name
        for name in names
        if str(folder / name) not in found
        and (name in read or _NAMED_AFTER_SPLIT.match(Path(name).name))
    ]
    return SplitFiles(by_split, left_out)


def _split_by_name(names: Sequence[str]) -> dict[str, list[str]]:
    """Returns the names of the files of each split, in their order."""
    from datasets.data_files import DataFilesDict, get_data_patterns

    # `datasets` looks at files, and only at their names.
    with TemporaryDirectory() as empty:
        for name in names:
            file = Path(empty, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        try:
            patterns = get_data_patterns(empty)
            found = DataFilesDict.from_patterns(patterns, base_path=empty)
        except (OSError, ValueError):
            return {}
        return {
            str(split): sorted(os.path.relpath(file, empty) for file in files)
            for split, files in found.items()
        }


def _visible_names(folder: Path) -> list[str]:
    """Returns the files that `datasets` does not hide, nor knows as descriptions of data."""
    from datasets.data_files import FILES_TO_IGNORE

    found: list[str] = []
    walked: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        # A link may lead back to a folder that contains it.
        real = os.path.realpath(place)
        if real in walked:
            folders.clear()
            continue
        walked.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        ignored = {*FILES_TO_IGNORE}
        if "dataset_info.json" in files:
            # The record that `Dataset.save_to_disk` writes beside its rows.
            ignored.add("state.json")
        found += [
            os.path.relpath(Path(place, name), folder)
            for name in sorted(files)
            if name not in ignored and not name.startswith((".", "__"))
        ]
    return found
