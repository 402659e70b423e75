"""A content-addressed cache of encoded rows, shared by runs and processes."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from clozekit import __version__
from clozekit.corpus.tokenizers import special_tokens, word_marks
from clozekit.data import files, sequence_format
from clozekit.data.labelled.features import Features
from clozekit.data.labelled.row_file import RowFile, spooled, write_row_file
from clozekit.errors import DataError
from clozekit.files import leftovers, locked, sha256_of, sha256_of_file, write_json
from clozekit.output.display import say

FOLDER = ".rows"
"""The name of the folder, beside the runs."""

LEAST_BYTES = 2**22
"""The rows of smaller files are read and encoded each time: some 20,000 pairs in a few seconds."""

Write = Callable[[dict[str, Any]], Iterator[pa.RecordBatch]]
"""Yields the chunks of a file, and puts facts about them into the dictionary."""


class KeptFiles:
    """A folder of stored rows. Each file has the hash of all that it was made from in its name.

    Beside each file stands its checksum, which is written last. So a file without one is not
    complete. A lock per file lets one process write it while the others wait.

    Args:
        folder: The folder, which is created when a file is written; None to keep nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def find_or_write(self, key: str | None, write: Write) -> tuple[RowFile, dict[str, Any]]:
        """Opens the file of a key, and writes it first if it does not exist or is damaged.

        Args:
            key: The hash of all that the content depends on; None if the file is not kept.
            write: Yields its chunks.

        Returns:
            The file, and the facts about it.
        """
        if self.folder is None or key is None:
            facts: dict[str, Any] = {}
            return spooled(write(facts), self.folder), facts
        path = self.folder / f"{key}.arrow"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / f".{key}.lock"):
                return _opened(path) or _written(path, write)
        except OSError as error:
            raise DataError(f"{path}: {error.strerror or error}") from error


def key_of_file(source: str, features: Features[Any], more: Any = None) -> str | None:
    """Returns the key of a file of labelled rows.

    Args:
        source: The file.
        features: Reads and encodes the rows.
        more: What the stored rows depend on besides, as plain values.

    Returns:
        The key; None for a file so small that its rows stay in memory, and for features of a class
        of the user's, whose code may change.
    """
    path = Path(source)
    is_own = all(c.__module__.partition(".")[0] in _KNOWN for c in type(features).__mro__)
    if not is_own or not path.is_file() or path.stat().st_size < LEAST_BYTES:
        return None
    return hash_of(
        sha256_of_file(path),
        path.suffixes[-2:],
        _code(),
        type(features).__qualname__,
        features.config.model_dump(mode="json"),
        features.tokenizer.to_str(),
        more,
    )


def hash_of(*values: Any) -> str:
    """Hashes plain values to a short name."""
    return sha256_of([json.dumps(values, sort_keys=True).encode()])[:32]


_KNOWN = ("clozekit", "builtins", "typing", "abc")


@cache
def _code() -> str:
    """Hashes the code that reads and encodes rows, so that no file of other code is used."""
    folders = (Path(__file__).parent, Path(files.__file__).parent)
    sources = sorted(path for folder in folders for path in folder.glob("*.py"))
    sources += [Path(str(each.__file__)) for each in (sequence_format, special_tokens, word_marks)]
    return sha256_of([__version__.encode(), *(path.read_bytes() for path in sources)])


def _opened(path: Path) -> tuple[RowFile, dict[str, Any]] | None:
    """Opens a file if it is complete; says so if it is damaged."""
    if not path.is_file():
        return None
    try:
        noted = json.loads(_note_of(path).read_text(encoding="utf-8"))
        facts, checksum = dict(noted["facts"]), noted["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if sha256_of_file(path) != checksum:
        say(f"{path} is damaged; the rows are read again")
        return None
    return RowFile(path), facts


def _written(path: Path, write: Write) -> tuple[RowFile, dict[str, Any]]:
    facts: dict[str, Any] = {}
    _note_of(path).unlink(missing_ok=True)
    for leftover in leftovers(path.parent, f"{path.stem}.*"):
        leftover.unlink()
    write_row_file(path, write(facts))
    write_json(_note_of(path), {"sha256": sha256_of_file(path), "facts": facts})
    return RowFile(path), facts


def _note_of(path: Path) -> Path:
    return path.with_suffix(".json")
