"""Runs tasks in processes, and notices if one of them is killed."""

import os
import signal
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import multiprocess  # type: ignore[import-untyped]
import multiprocess.connection  # type: ignore[import-untyped]

from clozekit.errors import UserError, WorkerError
from clozekit.processes.workers import end_with


def run_in_processes(
    task: Callable[[int], None], numbers: Sequence[int], workers: int, preload: list[str]
) -> None:
    """Runs tasks in several processes, until all are done or one of them fails.

    The processes end with this one, for any reason. Signals to the process group are left to this
    process. The package `multiprocess` also passes functions on that are not importable.

    Args:
        task: The function to run with each number.
        numbers: The numbers of the tasks.
        workers: The number of processes.
        preload: Modules that are imported once for all processes.

    Raises:
        WorkerError: A process was killed.
    """
    context = multiprocess.get_context("forkserver")
    context.set_forkserver_preload(preload)
    waiting = list(reversed(numbers))
    processes: dict[Any, Any] = {}  # by their connections
    try:
        for _ in range(min(workers, len(waiting))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_run, args=(task, theirs, dict(os.environ)))
            process.start()
            # Now only the process has it open, so that its end closes the connection.
            theirs.close()
            processes[ours] = process
        for connection, process in processes.items():
            _hand_over(waiting.pop(), connection, process)
        busy = set(processes)
        while busy:
            for connection in multiprocess.connection.wait(list(busy)):
                _raise_error(connection, processes[connection])
                if waiting:
                    _hand_over(waiting.pop(), connection, processes[connection])
                else:
                    busy.remove(connection)
    finally:
        for process in processes.values():
            process.kill()
        for process in processes.values():
            process.join()


def _hand_over(number: int, connection: Any, process: Any) -> None:
    """Sends the number of a task to a process."""
    try:
        connection.send(number)
    except OSError:
        _raise_killed(process)


def _raise_error(connection: Any, process: Any) -> None:
    """Reads the result of a task, and raises its error, if any."""
    try:
        error = connection.recv()
    except (EOFError, OSError):
        _raise_killed(process)
    if error is not None:
        raise error


def _raise_killed(process: Any) -> NoReturn:
    process.join()
    code = process.exitcode
    how = f"ended with exit code {code}"
    if code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
    why = ", probably because memory ran out" if code == -signal.SIGKILL else ""
    raise WorkerError(
        f"a worker (process {process.pid}) {how}{why}; run the same command again to continue, "
        "with fewer workers (workers=1) if memory is short"
    )


def _run(task: Callable[[int], None], connection: Any, environment: dict[str, str]) -> None:
    """Runs in a process: does the tasks whose numbers it receives."""
    # The server that forks the processes has that of its own start, when a store's credentials may
    # not have been there.
    os.environ.clear()
    os.environ.update(environment)
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    end_with(multiprocess.parent_process())
    while True:
        number = connection.recv()
        error: Exception | None = None
        try:
            task(number)
        except Exception as raised:
            error = raised
            if not isinstance(raised, UserError | OSError):
                raised.add_note(traceback.format_exc())
        try:
            connection.send(error)
        except OSError:
            return  # The parent has ended.
        except Exception:  # An error that cannot be pickled.
            connection.send(RuntimeError("".join(traceback.format_exception(error))))
