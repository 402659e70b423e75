"""How a process ends at once, without Python's finalization."""

import logging
import multiprocessing
import os
import sys
import threading
from typing import NoReturn

FLUSH_SECONDS = 2.0
"""How long buffered output may take; a pipe that nobody reads would block for ever."""


def write_error(sentence: str) -> None:
    """Writes one line to stderr, unbuffered, so that other output does not break it up."""
    os.write(2, f"clozekit train: {sentence}\n".encode())


def exit_at_once(code: int) -> NoReturn:
    """Ends this process and its data workers, after its buffered output is written.

    After a failed collective, threads of gloo may still release tensors. Releasing a tensor that
    Python knows needs the GIL, and a thread that waits for the GIL while Python finalizes aborts
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
