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


def num_bytes(value: object) -> object:
    """Converts a size such as `50GB` or `54MiB` to a number of bytes.

    Raises:
        ValueError: It is not a size.
    """
    if not isinstance(value, str):
        return value
    found = _SIZE.fullmatch(value.strip())
    if found is None:
        raise ValueError(f"{value} should be a number of bytes, or a size such as 50GB or 500MiB")
    unit = found["unit"].upper().replace("I", "i")
    return int(float(found["number"]) * _UNITS["" if unit == "B" else unit])


class CacheConfig(Closed):
    """The cache of a corpus in an object store, shared by all processes of a machine.

    Attributes:
        dir: The folder of the shards that were fetched; None for `clozekit/shards` in the user's
            cache folder. Use a local disk.
        limit: The size that they may have together: a number of bytes, or such as `50GB`. The ones
            that were not used for longest are removed.
        ahead: The number of shards that are fetched before they are needed.
    """

    dir: FilePath | None = None
    limit: Annotated[int, BeforeValidator(num_bytes), Field(gt=0, le=2**62)] = 50 * 10**9
    ahead: int = Field(1, ge=0, le=64)

    @property
    def folder(self) -> Path:
        """The folder."""
        if self.dir is not None:
            return self.dir
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(base) / "clozekit" / "shards"
