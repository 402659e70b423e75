"""Ends a process immediately, without Python's finalization."""

import logging
import multiprocessing
import os
import sys
import threading
from typing import NoReturn

from clozekit.output.standard_streams import write_unbuffered

FLUSH_SECONDS = 2.0
"""Time limit for flushing output; a pipe without a reader would block forever."""


def write_error(sentence: str) -> None:
    """Writes one line to stderr, unbuffered, so that other output does not split it."""
    write_unbuffered(2, f"clozekit train: {sentence}\n")


def exit_at_once(code: int) -> NoReturn:
    """Ends this process and its data workers after flushing its output.

    After a failed collective, threads of gloo may still release tensors. Releasing a tensor that
    has a Python object needs the GIL. A thread that waits for the GIL while Python finalizes aborts
    the process ("terminate called without an active exception", exit code -6). So finalization is
    skipped.
    """
    flusher = threading.Thread(target=_flush, name="flush", daemon=True)
    flusher.start()
    flusher.join(FLUSH_SECONDS)
    for worker in multiprocessing.active_children():
        worker.kill()
    os._exit(code)


def _flush() -> None:
    for handler in logging.getLogger().handlers:
        handler.flush()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
