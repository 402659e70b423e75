"""Commands in children of one process that has imported everything once.

Importing torch and Lightning takes a command longer than most of what tests let it do. The server
is a process without threads that has the imports done; for each command it forks a child, which
runs it like `python -m clozekit` and ends like it. What a start itself does (imports, options of
the interpreter, environment variables that are read when a library is imported) needs a process
of its own.
"""

import atexit
import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


class CommandServer:
    """The server, for the process that starts it.

    Args:
        environment: The environment variables at the time of the imports.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._connection, theirs = socket.socketpair()
        self._answers = self._connection.makefile("r")
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            cwd=REPOSITORY,
            env=environment,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
        )
        theirs.close()

    def run(
        self, arguments: tuple[str, ...], cwd: Path, environment: dict[str, str], seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command and returns its exit code and output.

        Raises:
            subprocess.TimeoutExpired: It was killed after `seconds`.
        """
        with tempfile.TemporaryDirectory() as folder:
            outputs = [Path(folder) / "stdout", Path(folder) / "stderr"]
            request = {
                "arguments": arguments,
                "cwd": str(cwd),
                "environment": environment,
                "outputs": list(map(str, outputs)),
            }
            self._connection.sendall((json.dumps(request) + "\n").encode())
            pid = self._answer()
            self._connection.settimeout(seconds)
            try:
                code = self._answer()
            except TimeoutError:
                os.killpg(pid, signal.SIGKILL)
                self.close()
                raise subprocess.TimeoutExpired(arguments, seconds) from None
            self._connection.settimeout(None)
            stdout, stderr = (path.read_text() for path in outputs)
        return subprocess.CompletedProcess(arguments, code, stdout, stderr)

    def close(self) -> None:
        """Ends the server."""
        self._connection.close()
        self._process.kill()
        self._process.wait()
        server.cache_clear()

    def _answer(self) -> int:
        answer = self._answers.readline()
        if not answer:
            raise RuntimeError("the command server has ended")
        return int(answer)


@cache
def server() -> CommandServer:
    """The server of this process, started when it is first used."""
    from tests.programs.commands import child_environment

    started = CommandServer(child_environment())
    atexit.register(started.close)
    return started


def _import_everything() -> None:
    import datasets  # noqa: F401
    import lightning.pytorch.loggers  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import wandb  # noqa: F401

    import clozekit.command
    import clozekit.corpus.pipeline
    import clozekit.evaluate
    import clozekit.export
    import clozekit.predict
    import clozekit.prepare
    import clozekit.report
    import clozekit.train  # noqa: F401


def _serve(connection: socket.socket) -> dict[str, Any]:
    """Answers requests with the child's process ID and exit code; returns in the children alone."""
    for line in connection.makefile("r"):
        pid = os.fork()
        if pid == 0:
            connection.close()
            request: dict[str, Any] = json.loads(line)
            return request
        connection.sendall(f"{pid}\n".encode())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(f"{code}\n".encode())
    os._exit(0)


def _become(request: dict[str, Any]) -> None:
    """Makes this process look like one that was started for the command."""
    os.setpgid(0, 0)
    for descriptor, path in enumerate(request["outputs"], start=1):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    # `python -m` puts the current folder first. The repository's stands there for this module.
    more = request["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [request["cwd"], *filter(None, more)]
    program = importlib.util.find_spec("clozekit.__main__")
    assert program is not None
    sys.modules["__main__"].__spec__ = program
    sys.argv = [program.origin or "clozekit", *request["arguments"]]


if __name__ == "__main__":
    _import_everything()
    _become(_serve(socket.socket(fileno=int(sys.argv[1]))))
    from clozekit.__main__ import main

    with contextlib.suppress(BrokenPipeError):
        main()
