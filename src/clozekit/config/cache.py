"""The cache of a corpus that is in an object store."""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from clozekit.config.groups import Closed
from clozekit.config.paths import FilePath

_UNITS = {"": 1} | {
    f"{prefix}{ending}": base**power
    for ending, base in (("B", 1000), ("iB", 1024))
    for power, prefix in enumerate(("K", "M", "G", "T"), start=1)
}
_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[KMGT]i?B|B|)", re.IGNORECASE)


def num_bytes(size: str) -> int:
    """Converts a size such as `50GB` or `54MiB` to a number of bytes.

    Raises:
        ValueError: It is not a size above 0.
    """
    found = _SIZE.fullmatch(size.strip())
    unit = "" if found is None else found["unit"].upper().replace("I", "i")
    number = 0 if found is None else float(found["number"]) * _UNITS["" if unit == "B" else unit]
    if not 1 <= number < 2**62:
        raise ValueError(f"{size} should be a size such as 50GB or 500MiB")
    return int(number)


def _checked_size(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    text = str(value) if is_number else value
    if isinstance(text, str):
        num_bytes(text)
    return text


class CacheConfig(Closed):
    """The cache of a corpus in an object store, shared by all processes of a machine.

    Attributes:
        dir: The folder of the shards that were fetched; None for `clozekit/shards` in the user's
            cache folder. Use a local disk.
        limit: The size that they may have together, such as `50GB` or `500MiB`. The ones that were
            not used for longest are removed.
        ahead: The number of shards that are fetched before they are needed.
    """

    dir: FilePath | None = None
    limit: Annotated[str, BeforeValidator(_checked_size)] = "50GB"
    ahead: int = Field(1, ge=0, le=64)

    @property
    def folder(self) -> Path:
        """The folder."""
        if self.dir is not None:
            return self.dir
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(base) / "clozekit" / "shards"
