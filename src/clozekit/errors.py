"""Errors that the user can fix. The command prints them in one line and exits with code 2."""

import os


class UserError(Exception):
    """Invalid user input; the message names the input and what is allowed."""


class ConfigError(UserError):
    """A configuration key has an invalid value."""


class DataError(UserError):
    """A data file is invalid; the message names the file and line."""


class UnreadableError(DataError):
    """A file cannot be read here, but may be whole: it is not one to pass over."""


class StoreError(DataError):
    """A store cannot be reached, or refuses; what was done before can be used again."""


class ExecutorError(UserError):
    """A cluster cannot run the tasks of `prepare`. What is done is kept for another start."""


class WorkerError(Exception):
    """A worker process was killed; the message says how. The same command may succeed again."""


class DivergenceError(RuntimeError):
    """The loss or gradient norm of a step is too large or not finite, which ends the run."""


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, or the name of its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def of_os_error(error: OSError) -> str:
    """Returns one sentence for an error of the operating system: the path and the reason."""
    reason = error.strerror or str(error).strip().partition("\n")[0]
    if error.filename is None:
        return reason if error.errno is not None else f"{type(error).__name__}: {reason}"
    path = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    if isinstance(error, FileExistsError) and os.path.isfile(path):  # noqa: PTH113
        reason = "Not a directory"  # A folder of this name is needed.
    return f"{path}: {reason}"
