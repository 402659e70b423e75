"""Shows the progress of a long stage: a bar in a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from clozekit.output.console import PlainConsole

_SECONDS_BETWEEN_LINES = 30.0
_SECONDS_BETWEEN_FRAMES = 0.2


@contextmanager
def show_progress(title: str, total: int, count_done: Callable[[], int]) -> Iterator[None]:
    """Shows inside the context how many of `total` parts `count_done` returns as done."""
    console = PlainConsole(stderr=True)
    if console.is_terminal:
        with (
            _bar(console, title, total) as show,
            _repeat(show, count_done, _SECONDS_BETWEEN_FRAMES),
        ):
            yield
        return
    start = time.monotonic()

    def print_line(done: int) -> None:
        print_plain(console, f"{title}: {done} of {total}, {time.monotonic() - start:.1f} s")

    with _repeat(print_line, count_done, _SECONDS_BETWEEN_LINES):
        yield


def print_plain(console: PlainConsole, line: str) -> None:
    """Prints a line without wrapping, colors and markup."""
    console.print(line, soft_wrap=True)


@contextmanager
def _bar(console: PlainConsole, title: str, total: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def _repeat(
    show: Callable[[int], None], count_done: Callable[[], int], seconds: float
) -> Iterator[None]:
    """Calls `show` periodically, and once more when the context ends without an error."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(seconds):
            show(count_done())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    show(count_done())
