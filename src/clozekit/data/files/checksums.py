"""Checksums of the local files that labelled rows come from."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clozekit.files import sha256_of_file


def checksums_of_rows(data: Mapping[str, Any]) -> dict[str, str]:
    """Returns the SHA-256 of each local file of a `data` group of labelled rows, by its path.

    Args:
        data: The keys of the group. With `path`, the files are those of that folder; a dataset of
            the hub has none.
    """
    return {str(file): sha256_of_file(file) for file in _files(data) if file.is_file()}


def _files(data: Mapping[str, Any]) -> Iterator[Path]:
    folder = data.get("path")
    if isinstance(folder, str):
        if Path(folder).is_dir():
            yield from sorted(Path(folder).rglob("*"))
        return
    for split in ("train", "validation", "test"):
        if isinstance(data.get(split), str):
            yield Path(data[split])
