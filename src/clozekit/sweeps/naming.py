"""The name of a job, which is that of its folder, from the overrides that are its own."""

import json
import re
from collections.abc import Iterable

from clozekit.files import sha256_of

LONGEST = 120
"""The most characters of a name; file systems take 255 bytes, and files get suffixes."""

ALONE = "single"
"""The name of the one job of a sweep that sweeps nothing."""

BETWEEN = "__"
PLAIN = re.compile(r"[a-z][a-z0-9.]*(_[a-z0-9.]+)*=[a-z0-9.+-]+(_[a-z0-9.+-]+)*")
NAME_OF_SWEEP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+/-]*")


def job_name(overrides: Iterable[str]) -> str:
    """Names a job: `seed=0` and `optimizer.lr=0.001` make `optimizer.lr-0.001__seed-0`.

    Such a name is a path's part everywhere and needs no quotes as the value of an override. No two
    sets of overrides share one, whatever their order: a key goes to the first `-`, which it does
    not hold, and a value to the next `__`, which it does not hold. Where an override is not that
    plain, or the name would be too long, it is cut to what is allowed and ends in a hash of the
    overrides. Capitals are not plain, for some file systems do not tell them from small letters.

    Args:
        overrides: What differs between the jobs, as `key=value`.
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
