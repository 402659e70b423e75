"""Calls to the file system of a URL, tried again after an error that may pass.

fsspec and the package of a store are imported when a URL is first used, so local files cost
nothing. Credentials come from the environment alone, by the names that the store's package reads.

A file system is made by the process that uses it: s3fs and its kind do not survive a fork.
"""

import errno
import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from clozekit.errors import DataError, StoreError
from clozekit.files import name_path
from clozekit.storage.errors import in_words, is_final, redacted_line
from clozekit.storage.urls import EXTRAS, WEB, check_url, shown

TRIES = 3
PAUSE_S = 0.3
"""The pause before the second try; the next ones are four times as long each."""

_LOCAL_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.ENAMETOOLONG}
)

ResultT = TypeVar("ResultT")


def _system(url: str) -> Any:
    """Makes the file system of a URL, once per process."""
    check_url(url)
    protocol = url.partition("://")[0].lower()
    import fsspec

    # Listings are not cached, for what they list may change.
    options: dict[str, Any] = {"use_listings_cache": False}
    if protocol in WEB:
        aiohttp = importlib.import_module("aiohttp")
        # The default gives up on any file after five minutes.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
        # Compressed on the way, parts of a file would not be those of the file itself.
        headers = {"Accept-Encoding": "identity"}
        options["client_kwargs"] = {"timeout": timeout, "headers": headers}
    try:
        return fsspec.filesystem(protocol, **options)
    except ImportError as error:
        if extra := EXTRAS.get(protocol):
            raise StoreError(f"{protocol}:// needs pip install 'clozekit[{extra}]'") from error
        raise StoreError(f"{protocol}:// cannot be used: {redacted_line(error)}") from error
    except ValueError as error:
        if "Protocol not known" not in str(error):
            raise
        raise StoreError(
            f"{shown(url)}: {protocol}:// is not a known kind of store; those that clozekit "
            "installs are s3://, gs://, az://, hf:// and https://"
        ) from error


def tried(
    url: str, verb: str, call: Callable[[Any], ResultT], target: Path | None = None
) -> ResultT:
    """Calls a function with the file system of a URL, again after an error that may pass.

    Args:
        url: The URL.
        verb: What is done with it, such as "be read".
        call: The function.
        target: The local file that is written, if any.

    Raises:
        DataError: It failed three times, or another try cannot help.
    """
    pause = PAUSE_S
    for number in range(1, TRIES + 1):
        try:
            return call(_system(url))
        except DataError:
            raise
        except Exception as error:
            if target is not None and isinstance(error, OSError) and error.errno in _LOCAL_ERRORS:
                name_path(error, target)
                raise
            if number == TRIES or is_final(error):
                raise in_words(error, url, verb) from error
        time.sleep(pause)
        pause *= 4
    raise AssertionError
