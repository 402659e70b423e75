"""Derives a job's name, which is also its folder's name, from its overrides."""

import json
import re
from collections.abc import Iterable

from clozekit.files import sha256_of

LONGEST = 120
"""The maximum length of a name. File systems allow 255 bytes, and files add suffixes."""

ALONE = "single"
"""The name of the one job of a sweep that sweeps nothing."""

BETWEEN = "__"
PLAIN = re.compile(r"[a-z][a-z0-9.]*(_[a-z0-9.]+)*=[a-z0-9.+-]+(_[a-z0-9.+-]+)*")
NAME_OF_SWEEP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+/-]*")


def job_name(overrides: Iterable[str]) -> str:
    """Returns a job's name: `optimizer.lr-0.001__seed-0` for `seed=0` and `optimizer.lr=0.001`.

    The name is valid in paths and needs no quotes in an override. It does not depend on the order
    of the overrides, and different sets of overrides have different names: a key ends at the first
    `-`, which keys do not contain, and a value ends at the next `__`, which plain values do not
    contain. If an override is not plain or the name would be too long, it is shortened and ends
    with a hash of the overrides. Capital letters are not plain, because some file systems ignore
    case.

    Args:
        overrides: The overrides that differ between jobs, as `key=value`.
    """
    ordered = sorted(set(overrides))
    if not ordered:
        return ALONE
    name = BETWEEN.join(override.replace("=", "-", 1) for override in ordered)
    if len(name) <= LONGEST and all(PLAIN.fullmatch(override) for override in ordered):
        return name
    digest = sha256_of([json.dumps(ordered).encode()])[:12]
    readable = re.sub(r"[^A-Za-z0-9_.+-]+", "-", name).strip("-._+") or ALONE
    return f"{readable[: LONGEST - len(digest) - len(BETWEEN)]}{BETWEEN}{digest}"
