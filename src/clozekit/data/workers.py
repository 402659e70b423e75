"""Data workers: their signals, and the failures that torch reports poorly or not at all."""

import multiprocessing
import multiprocessing.queues
import multiprocessing.util
import os
import re
import signal
from functools import cache
from types import FrameType
from typing import Any

from torch._utils import ExceptionWrapper
from torch.utils.data import get_worker_info

from clozekit.errors import UserError, WorkerError

REMEDY = (
    "set data.num_workers=0 or a smaller number; resume=auto continues from the last checkpoint"
)
_SHARED_MEMORY = "shared memory"
_KILLED = re.compile(r"DataLoader worker \(pid (?P<pid>\d+)\) is killed by signal: (?P<name>[^.]*)")
_ENDED = re.compile(r"DataLoader worker \(pid(\(s\))? (?P<pid>[\d, ]+)\) exited unexpectedly")
_CAUGHT = re.compile(r"Caught (?P<kind>\w+) in DataLoader worker process")
_SIGNALS = {signal.strsignal(number): number.name for number in signal.Signals}


def start_worker(worker: int) -> None:
    """Prepares a data worker; it is called in the worker."""
    # Signals go to the whole process group. A worker killed by a signal would end the main process
    # before it has saved a checkpoint. A second SIGTERM is meant for the worker: on exit, Python
    # sends it to its children and then waits for them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _accept_the_next)
    # torch's handler prints that shared memory is short, which is not the only cause.
    signal.signal(signal.SIGBUS, signal.SIG_DFL)
    # The default prints the error and drops the batch, for which the main process waits forever.
    queue: Any = multiprocessing.queues.Queue
    queue._on_queue_feeder_error = _send_error


def kill_workers_at_exit() -> None:
    """Kills the data workers of this process when it ends.

    After an error, Python would send them one SIGTERM, which they take for that of the process
    group, and wait for them forever.
    """
    _kill_workers_at_exit_of(os.getpid())


@cache
def _kill_workers_at_exit_of(process_id: int) -> None:
    """Registers `_kill_workers` once in each process; a fork has another id, and no cached call."""
    multiprocessing.util.Finalize(None, _kill_workers, exitpriority=100)


def _kill_workers() -> None:
    for child in multiprocessing.active_children():
        if child.daemon:  # Python would end it now too.
            child.kill()


def in_words(error: BaseException) -> UserError | WorkerError | None:
    """Returns an error in one sentence for the failure of a data worker; None for other errors.

    An error of the program in a worker is not changed: its traceback is needed.
    """
    text = str(error)
    if _ENDED.match(text) and _KILLED.match(str(error.__cause__)):
        text = str(error.__cause__)  # It names the signal.
    if killed := _KILLED.match(text):
        name = _SIGNALS.get(killed["name"].strip(), killed["name"])
        return WorkerError(
            f"a data worker (process {killed['pid']}) was killed by {name}{_cause(name)}; {REMEDY}"
        )
    if ended := _ENDED.match(text):
        return WorkerError(f"a data worker (process {ended['pid']}) ended unexpectedly; {REMEDY}")
    if not (caught := _CAUGHT.match(text)):
        return None
    # The last line of the worker's traceback, which may be continued.
    reason = text.rpartition(f"{caught['kind']}: ")[2].strip()
    if isinstance(error, UserError):
        return type(error)(reason)
    if isinstance(error, OSError):
        return WorkerError(f"a data worker failed: {reason}")
    if isinstance(error, RuntimeError) and _SHARED_MEMORY in reason:
        return WorkerError(
            f"a data worker cannot pass a batch on through shared memory (/dev/shm): {reason}; "
            f"enlarge it (docker run --shm-size), or {REMEDY}"
        )
    return None


def _cause(name: str) -> str:
    causes = {
        "SIGKILL": ", probably because memory ran out",
        "SIGBUS": ", because shared memory (/dev/shm) is full or a file was cut while it was read",
    }
    return causes.get(name, "")


def _send_error(queue: Any, error: Exception, item: Any) -> None:
    """Sends an error to the main process in place of a batch that cannot be sent."""
    index = item[0] if isinstance(item, tuple) else None
    info = get_worker_info()
    where = f"in DataLoader worker process {info.id if info else 0}"
    # An `ExceptionWrapper` needs no shared memory.
    wrapper: Any = ExceptionWrapper
    queue.put((index, wrapper((type(error), error, error.__traceback__), where)))


def _accept_the_next(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
