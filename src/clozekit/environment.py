"""The environment of a process: settings for a fast start and fast training, and its cores."""

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""From glibc's malloc.h."""
_NEVER_TRIM = 2**31 - 1
_SPINS = "1000"
_KEPT_PRODUCTS = "32"
"""A step has about fifteen different shapes, most of them in every block."""


@contextmanager
def without_collector() -> Iterator[None]:
    """Disables the garbage collector while torch and Lightning are imported.

    They make a million objects, which live to the end of the process. The collector would visit
    them again and again, for a fifth of the time that a command needs to start. It does not visit
    them later either. In a process that has already imported torch this does nothing.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def prepare_for_torch() -> None:
    """Applies all settings, except those that the user has set."""
    wait_briefly()
    limit_kept_products()
    keep_freed_memory()


def wait_briefly() -> None:
    """Makes torch's threads spin briefly while they wait for each other, and then sleep.

    By default they spin so long that a step takes 1.5 times as long when another program keeps a
    core busy. If they slept at once, waking them would take a twelfth of a small step. Both are
    measured in `experiments/throughput/levers.py`.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        # Only GNU's OpenMP reads this; there it takes precedence over the policy.
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def limit_kept_products() -> None:
    """Limits oneDNN's cache of compiled matrix products, before its first use.

    oneDNN caches the code for the last 1,024 shapes, at several MiB each. Batches of texts with
    different lengths add new shapes at every step, which never occur again.
    """
    # The variables of oneDNN itself, and of the layer through which torch calls it.
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, _KEPT_PRODUCTS)


def keep_freed_memory() -> None:
    """Makes glibc's malloc reuse freed memory instead of returning it to the system.

    By default it returns large blocks. Each step frees and allocates the same blocks as the step
    before, and pays a page fault for every 4 KiB that it writes to. Kept blocks cost nothing: the
    process stays at its peak size, which the next step would reach again.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)


def return_freed_memory() -> None:
    """Returns memory to the system, after work that freed more than the next step allocates."""
    malloc_trim = _of_glibc("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _of_glibc(function: str) -> Any:
    """Returns a function of glibc's malloc; None in other C libraries, which lack it."""
    return getattr(ctypes.CDLL(None), function, None) if sys.platform == "linux" else None


def num_cores() -> int:
    """Returns the number of cores that this process may use, which a cluster may limit."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    if "SLURM_JOB_ID" in os.environ:
        # Without its plugins for affinity and cgroups, Slurm does not bind a job to its cores.
        names = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
        numbers = [os.environ[name] for name in names if os.environ.get(name, "").isdecimal()]
        cores = min([cores, *map(int, numbers[:1])])
    return max(1, cores)


def cores_per_process(processes: int) -> int:
    """Returns the number of cores for each of this machine's processes that train together."""
    environment = os.environ
    if "SLURM_CPUS_PER_TASK" in environment and environment.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        return num_cores()  # srun gives each process its own
    return num_cores() // processes
