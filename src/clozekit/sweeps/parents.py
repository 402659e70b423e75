"""Ties between a process and its parent, by Linux's `prctl`."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def ending_with(parent: int, number: signal.Signals) -> Callable[[], None]:
    """Returns a function for a child: the kernel will send it a signal when its parent dies.

    Does nothing on other systems than Linux.
    """
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # the parent died before prctl took effect
            os._exit(128 + number)

    return ask


def adopt_orphans(adopts: bool) -> bool:
    """Makes descendants whose parent has ended children of this process, or of init again.

    Returns:
        Whether the system supports it.
    """
    if not sys.platform.startswith("linux"):
        return False
    done: int = ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(adopts), 0, 0, 0)
    return done == 0
