"""URLs of object stores and web servers: told from local paths, refused with secrets, shown."""

import re
from pathlib import Path

from clozekit.errors import DataError

EXTRAS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "az": "azure",
    "abfs": "azure",
    "abfss": "azure",
    "adl": "azure",
}
"""The extra of clozekit that installs the package of each store."""

WEB = frozenset({"http", "https"})
"""The protocols of web servers, which serve single files."""

# One letter is a drive of Windows.
_URL = re.compile(r"(?P<protocol>[A-Za-z][A-Za-z0-9+.-]+)://(?P<rest>.*)", re.DOTALL)
_AZURE = frozenset(name for name, extra in EXTRAS.items() if extra == "azure")
_LOCAL = frozenset({"file", "local"})
# A password may have slashes. A number after the colon is a port.
_PASSWORD = re.compile(r"(?!\[)[^/@]*:(?!\d*/)[^@]*@")
_HARMLESS_QUERIES = frozenset({"download", "raw", "dl", "version", "versionId", "alt", "format"})


def is_url(path: str | Path) -> bool:
    """Whether a path is a URL, such as `s3://bucket/corpus`, and not a local path."""
    return isinstance(path, str) and _URL.match(path) is not None


def problem_of(url: str) -> str | None:
    """Says what is wrong with a URL, if anything, without opening it or showing its secrets.

    A URL is written to configurations and logs, so it must not have a password or a token.
    """
    found = _URL.fullmatch(url)
    if found is None:
        return f"{url!r} is not a URL"
    protocol, rest = found["protocol"].lower(), found["rest"]
    authority = rest.partition("/")[0]
    user = authority.rpartition("@")[0]
    if ":" in user or (user and protocol not in _AZURE) or _PASSWORD.match(rest):
        return (
            f"{shown(url)} has a user or password before the @; remove it, credentials are read "
            "from the environment"
        )
    key = _query_key(protocol, rest)
    if key is not None and key not in _HARMLESS_QUERIES:
        return (
            f"{shown(url)} has the query {key[:40]}=…, which may be a credential; remove it, "
            "credentials are read from the environment"
        )
    if protocol in WEB and "#" in rest:
        return (
            f"{shown(url)} has a part after a #, which may be a credential; remove it, credentials "
            "are read from the environment"
        )
    if protocol != found["protocol"]:
        return f"{shown(url)} should begin with {protocol}:// in lower case"
    if protocol in _LOCAL:
        return f"{url} is a local path; write {rest} without the scheme"
    if "::" in url:
        return f"{url} is a chain of URLs, which is not supported; use the URL of the file itself"
    if not authority and protocol != "memory":
        return f"{url} has no {'server' if protocol in WEB else 'bucket'} after {protocol}://"
    return None


def check_url(url: str) -> None:
    """Checks a URL, without opening it.

    Raises:
        DataError: It is not a URL, or has credentials in it.
    """
    if problem := problem_of(url):
        raise DataError(problem)


def shown(url: str) -> str:
    """Returns a URL without its user, password and the values of its query."""
    found = _URL.fullmatch(url)
    if found is None:
        return url
    protocol, rest = found["protocol"], _PASSWORD.sub("…@", found["rest"])
    if protocol.lower() in WEB:
        rest, _, _ = rest.partition("#")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if at and (":" in user or protocol.lower() not in _AZURE):
        user = "…"
    if (key := _query_key(protocol.lower(), rest)) is not None:
        path, host = path.partition("?")[0], host.partition("?")[0]
        path, host = (f"{path}?{key[:40]}=…", host) if slash else (path, f"{host}?{key[:40]}=…")
    return f"{protocol}://{user}{at}{host}{slash}{path}"


def join(url: str, *names: str) -> str:
    """Appends names to a URL, with `/`."""
    return "/".join([url.rstrip("/"), *names])


def name_of(url: str) -> str:
    """Returns the last name of a URL: that of its file or folder."""
    return url.partition("://")[2].partition("?")[0].rstrip("/").rpartition("/")[2]


def _query_key(protocol: str, rest: str) -> str | None:
    """Returns the first suspicious key of a query, else its first key; None without a query."""
    query = rest.partition("?")[2]
    # A store's names and patterns may have a `?`.
    if not query or ("=" not in query and protocol not in WEB):
        return None
    # What has no value may be the value itself.
    parts = (part.partition("=") for part in re.split("[&;]", query))
    keys = [key if equals or key in _HARMLESS_QUERIES else "…" for key, equals, _ in parts]
    return next((key for key in keys if key not in _HARMLESS_QUERIES), keys[0])
