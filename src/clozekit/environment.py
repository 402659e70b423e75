"""What a process sets before torch is imported, so that steps on the CPU are fast."""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Of glibc's malloc.h."""
_NEVER_TRIM = 2**31 - 1
_KEPT_PRODUCTS = "32"
"""A step has some fifteen shapes, most of them in every block."""


def prepare_for_torch() -> None:
    """Lets threads sleep while they wait, and memory that was freed be used again.

    torch's threads wait for each other by spinning; where other programs share the cores that makes
    a step several times slower, and where none does it gains little.

    glibc's malloc gives large blocks back to the system when they are freed. A step frees and takes
    the same blocks as the step before it, and pays a page fault for every 4 KiB that it writes to
    anew. Kept, they cost nothing; the process is as large as it has ever been, which it will be
    again at its next step.

    oneDNN keeps the code that it makes for a product of each shape, of the last 1,024 shapes, some
    MiB each. Batches of unequal texts bring new ones at every step, which never come again.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    limit_kept_products()
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # not every C library has it
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)


def limit_kept_products() -> None:
    """Limits what oneDNN keeps of past products; it asks at its first one."""
    # Of oneDNN itself, and of the layer that torch calls it through.
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, _KEPT_PRODUCTS)
