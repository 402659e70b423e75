"""SIGTERM and SIGHUP: the signals that ask a process to end, and what happens to a second one."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from clozekit.exit_codes import PREEMPTED


def stop_signals() -> tuple[signal.Signals, ...]:
    """Returns the signals that end a run with a checkpoint.

    SIGHUP is sent when a terminal or an ssh connection ends. It is not in the list if this process
    was started to ignore it, as `nohup` does.
    """
    hangup_is_ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return (signal.SIGTERM,) if hangup_is_ignored else (signal.SIGTERM, signal.SIGHUP)


def exit_on_stop_signals() -> None:
    """Makes SIGTERM and SIGHUP end the process with `PREEMPTED` while no training runs."""
    for number in stop_signals():
        signal.signal(number, _exit)


def ignore_signals_at_exit() -> None:
    """Makes SIGTERM, SIGHUP and SIGINT be ignored while the process ends, which takes a second.

    A handler that runs then would print a traceback of whatever is being finalized, and the process
    would end with another exit code.
    """
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def delayed_signals() -> Iterator[Callable[[], None]]:
    """Delays the handlers of SIGTERM, SIGHUP and SIGINT.

    Some libraries end the process in their own way if a handler raises an error within their call.

    Yields:
        A function that calls the handlers of the signals that have arrived. The end of the context
        does the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    arrived: list[signal.Signals] = []
    numbers = (*stop_signals(), signal.SIGINT)
    handlers = {number: signal.getsignal(number) for number in numbers}

    def call_handlers() -> None:
        while arrived:
            number = arrived.pop(0)
            handler = handlers[number]
            if callable(handler):
                handler(number, None)
            elif handler == signal.SIG_DFL:
                signal.signal(number, handler)
                signal.raise_signal(number)

    for number in numbers:
        signal.signal(number, lambda number, _: arrived.append(signal.Signals(number)))
    try:
        yield call_handlers
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        call_handlers()


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    # The first signal ends the process; more of them would only interrupt the clean-up.
    for other in stop_signals():
        signal.signal(other, _do_nothing)
    raise SystemExit(PREEMPTED)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Unlike SIG_IGN, it is not passed on to programs that this process starts."""
