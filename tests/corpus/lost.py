"""Tasks of `prepare` that wait, or whose process is killed once."""

import os
import signal
import time

from clozekit.corpus.stages import tokens
from clozekit.corpus.work_folder import Work


def wait_for_ever(work: Work, number: int) -> None:
    """Says which process it is in, and waits."""
    notes = work.out.parent / "waiting"
    notes.mkdir(exist_ok=True)
    (notes / str(os.getpid())).touch()
    while True:
        time.sleep(0.05)


def die_once(work: Work, number: int) -> None:
    """Kills its process at the first attempt at task 2."""
    died = work.out.parent / "died"
    if number == 2 and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    tokens.tokenize_group(work, number)


def die(work: Work, number: int) -> None:
    """Kills its process at each attempt at task 2."""
    if number == 2:
        print("the last words", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    tokens.tokenize_group(work, number)


def stop(work: Work, number: int) -> None:
    """Fails, and the work that is done stays."""
    raise OSError("not now")


# A stage's files are in a folder named after its function.
for task in (wait_for_ever, die_once, die, stop):
    task.__name__ = "tokenize_group"
