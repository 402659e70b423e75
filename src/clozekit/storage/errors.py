"""Errors of stores: which of them another try may cure, and each in one sentence."""

import re

from clozekit.errors import StoreError, first_line
from clozekit.storage.urls import shown

_NO_CREDENTIALS = frozenset(
    {
        "CredentialRetrievalError",
        "DefaultCredentialsError",
        "NoAuthTokenError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "TokenRetrievalError",
    }
)
_LONGEST_REASON = 300


def is_final(error: BaseException) -> bool:
    """Whether another try would have the same result."""
    error = _cause(error)
    status = _status(error)
    if status is not None:
        return 400 <= status < 500 and status not in (408, 409, 425, 429)
    kinds = (
        *(FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError),
        *(NotADirectoryError, ValueError, TypeError, AttributeError, NotImplementedError),
    )
    return isinstance(error, kinds) or type(error).__name__ in _NO_CREDENTIALS


def is_missing(error: FileNotFoundError) -> bool:
    """Whether the server said that there is no such file, and not that it cannot be reached."""
    cause = _cause(error)
    return cause is error or _status(cause) == 404


def in_words(error: BaseException, url: str, verb: str) -> StoreError:
    """Returns the error of a store as one sentence.

    Args:
        error: The error.
        url: The URL that was used.
        verb: What was done with it, such as "be read".
    """
    error = _cause(error)
    name, url = type(error).__name__, shown(url)
    status = _status(error)
    if name in _NO_CREDENTIALS:
        return StoreError(f"{url} cannot {verb}: there are no credentials in the environment")
    if isinstance(error, FileNotFoundError) or status == 404:
        if verb == "be written":  # A store has no folders, so it is not that which is missing.
            return StoreError(f"{url} cannot be written: the bucket does not exist")
        return StoreError(f"{url} does not exist")
    if isinstance(error, PermissionError) or status in (401, 403):
        return StoreError(
            f"{url} cannot {verb}: access is denied ({redacted_line(error)}); check the "
            "credentials in the environment"
        )
    return StoreError(f"{url} cannot {verb}: {redacted_line(error)}")


def redacted_line(error: BaseException) -> str:
    """Returns the reason of an error in one line, without what may be secret in it."""
    reason = re.sub(r"(https?://[^\s?'\"]*)\?[^\s'\"]*", r"\1?…", first_line(error))
    reason = re.sub(r"://[^\s/@'\"]*@", "://…@", reason)
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}…"


def _cause(error: BaseException) -> BaseException:
    """Returns why a web server's file is said not to exist, which may be a lost connection."""
    # The cause of another error may be a broken answer, which has a status of its own.
    cause = error.__cause__ if isinstance(error, FileNotFoundError) else None
    is_of_web = cause is not None and type(cause).__module__.startswith("aiohttp")
    return cause if cause is not None and is_of_web else error


def _status(error: BaseException) -> int | None:
    """Returns the HTTP status of an error, if it has one."""
    response = getattr(error, "response", None)
    for holder, name in (
        (error, "status"),
        (error, "status_code"),
        (error, "code"),
        (response, "status_code"),
    ):
        status = getattr(holder, name, None)
        if isinstance(status, int) and 100 <= status < 600:
            return status
    return None
