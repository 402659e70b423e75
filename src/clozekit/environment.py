"""What a process sets before torch is imported, so that steps on the CPU are fast."""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Of glibc's malloc.h."""
_NEVER_TRIM = 2**31 - 1
_SPINS = "1000"
_KEPT_PRODUCTS = "32"
"""A step has some fifteen shapes, most of them in every block."""


def prepare_for_torch() -> None:
    """Sets all of it, but for what the user has set."""
    wait_briefly()
    limit_kept_products()
    keep_freed_memory()


def wait_briefly() -> None:
    """Lets torch's threads spin for a moment while they wait for each other, and then sleep.

    By default they spin so long that a step takes half as long again where another program keeps a
    core busy. If they slept at once, a small step would spend a twelfth on waking them. Both are
    measured in `experiments/throughput/levers.py`.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        # Of GNU's OpenMP alone, where it goes before the policy.
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def limit_kept_products() -> None:
    """Limits what oneDNN keeps of past products; it asks at its first one.

    It keeps the code that it makes for a product of each shape, of the last 1,024 shapes, some MiB
    each. Batches of unequal texts bring new ones at every step, which never come again.
    """
    # Of oneDNN itself, and of the layer that torch calls it through.
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, _KEPT_PRODUCTS)


def keep_freed_memory() -> None:
    """Lets glibc's malloc use memory again that was freed.

    It gives large blocks back to the system. A step frees and takes the same blocks as the step
    before it, and pays a page fault for every 4 KiB that it writes to anew. Kept, they cost
    nothing; the process is as large as it has ever been, which it will be again at its next step.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # not every C library has it
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)
