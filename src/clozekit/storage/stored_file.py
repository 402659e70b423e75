"""Files of stores as they are listed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clozekit.storage.urls import is_url

_VERSION_KEYS = (
    *("ETag", "etag", "generation", "md5Hash", "content_settings", "blob_id", "mtime"),
    *("LastModified", "last_modified", "updated", "Content-MD5", "Digest", "Last-Modified"),
)


@dataclass(frozen=True)
class StoredFile:
    """A file of a store.

    Attributes:
        url: Its URL.
        size: Its number of bytes; None if the server does not say.
        version: What changes with its content: its ETag, checksum or time; None if the server does
            not say.
    """

    url: str
    size: int | None
    version: str | None


def found_files(url: str, infos: Mapping[str, Mapping[str, Any]]) -> list[StoredFile]:
    """Returns the files of a listing, sorted by URL.

    Args:
        url: The URL that was listed.
        infos: What fsspec says of each path.
    """
    protocol = url.partition("://")[0]
    found = []
    for path, info in infos.items():
        if info.get("type") == "directory" or path.endswith("/"):
            continue
        full = path if is_url(path) else f"{protocol}://{path}"
        found.append(stored_file(full, info))
    return sorted(found, key=lambda file: file.url)


def stored_file(url: str, info: Mapping[str, Any]) -> StoredFile:
    """Returns the file that fsspec describes."""
    size = info.get("size")
    version = next((info[key] for key in _VERSION_KEYS if info.get(key) is not None), None)
    return StoredFile(
        url,
        None if size is None else int(size),
        None if version is None else str(version).strip('"'),
    )
