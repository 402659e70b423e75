"""Running the command in the test process, as a user's mistakes need no process of their own."""

import contextlib
import io
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from clozekit.cli import main

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""The command ignores them at its end."""


@dataclass(frozen=True)
class Ended:
    """How the command ended."""

    code: int
    out: str
    err: str

    @property
    def messages(self) -> list[str]:
        """The lines of stderr from the command's own message on, without Python's warnings."""
        lines = self.err.splitlines()
        starts = [place for place, line in enumerate(lines) if line.startswith("clozekit ")]
        return lines[starts[0] :] if starts else []


def invoke(*arguments: str, folder: Path) -> Ended:
    """Runs the command in a folder. Errors that the command does not handle are raised."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.chdir(folder),
        _restored(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        sys.argv = ["clozekit", *arguments]
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _restored() -> Iterator[None]:
    """Undoes what a run changes in its process."""
    argv, path = sys.argv, list(sys.path)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        sys.argv, sys.path[:] = argv, path
        for number, handler in handlers.items():
            signal.signal(number, handler)
        torch.use_deterministic_algorithms(False)
        torch.autograd.set_detect_anomaly(False)
        torch.set_default_dtype(torch.float32)
