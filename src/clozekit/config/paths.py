"""The types of paths in a configuration. `~` is the home folder; impossible paths are refused."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from clozekit.documents import is_text
from clozekit.errors import ConfigError
from clozekit.storage.urls import is_url, problem_of, shown

LONGEST_NAME = 255
"""The maximum length of a file or folder name on common file systems, in bytes."""

LONGEST_PATH = 4095
"""The maximum length of a path on Linux, in bytes."""


def checked_path(path: str) -> str:
    """Expands `~` at the start of a path, and checks that a file system could have it.

    Raises:
        ValueError: The path is empty, too long, or has a character that no path can have.
    """
    if not path:
        raise ValueError("it should be a path, not empty")
    # A null character, or bytes of the command line that are not UTF-8.
    if "\0" in path or not is_text(path):
        raise ValueError(f"{path!a} has a character that a path cannot have")
    if is_url(path) and (problem := problem_of(path)) is not None:
        raise ValueError(problem)
    path = expanded(path)
    longest = max(path.split("/"), key=len)
    size = len(longest.encode())
    if size > LONGEST_NAME:
        raise ValueError(
            f"{longest[:20]}… has {size} bytes; a file or folder name has at most {LONGEST_NAME}"
        )
    if len(path.encode()) > LONGEST_PATH:
        raise ValueError(f"{path[:20]}… has more than {LONGEST_PATH} bytes")
    return path


def expanded(path: str) -> str:
    """Replaces `~` or `~user` at the start of a path by that home folder, as a shell does."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:  # there is no such user
        return path


def checked_run_name(name: str) -> str:
    """Checks that a run's name is the path of a folder below the folder of runs.

    Raises:
        ValueError: A part of it is too long, or is not the name of a folder.
    """
    for part in name.split("/"):
        size = len(part.encode(errors="surrogatepass"))
        if size > LONGEST_NAME:
            raise ValueError(
                f"{part[:20]}… has {size} bytes; a folder name has at most {LONGEST_NAME}"
            )
        if part in ("", ".", ".."):
            raise ValueError(f"{name} would be another folder; a name has no parts like {part!r}")
    # Control characters and lone surrogates.
    if not all(character.isprintable() for character in name):
        raise ValueError(f"{name!a} has a character that is not printable")
    return name


def check_out(out: Path) -> None:
    """Checks that the output folder `out` is empty or does not exist, and that it can be replaced.

    Raises:
        ConfigError: It is not empty, or it is the current folder or a mount point, which a whole
            new folder cannot replace.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"out={out} is not empty; use another folder")
    if out.is_dir() and (out.samefile(".") or out.is_mount()):
        kind = "the current folder" if out.samefile(".") else "a mount point"
        raise ConfigError(f"out={out} is {kind}; use a new folder in it, such as {out / 'model'}")


PathText = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if isinstance(value, Path) else value),
    AfterValidator(checked_path),
]
"""A path, a URL, or a name on the Hugging Face Hub, as text. A URL may not have credentials."""

FilePath = Annotated[Path, BeforeValidator(lambda value: _as_path(value))]
"""A local path."""


def _as_path(value: object) -> object:
    if isinstance(value, str) and is_url(value):
        raise ValueError(f"{shown(value)} is a URL; it should be a local path")
    return Path(checked_path(str(value))) if isinstance(value, str | Path) else value
