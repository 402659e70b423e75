"""Commands in children of one process that has imported everything once.

Importing torch and Lightning takes a command longer than most of what tests let it do. The server
is a process without threads that has the imports done; for each command it forks a child, which
runs it like `python -m clozekit` and ends like it. What a start itself does (imports, options of
the interpreter, environment variables that are read when a library is imported) needs a process
of its own.
"""

import atexit
import gc
import importlib
import importlib.util
import json
import os
import pkgutil
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
ADDRESS = "CLOZEKIT_TESTS_COMMAND_SERVER"


@dataclass
class Command:
    """A running command, in a process group of its own.

    Attributes:
        server: The server whose child it is.
        pid: Its process ID, which is that of its group too.
        returncode: Its exit code; None while it runs, or nobody has asked.
    """

    server: "CommandServer"
    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        """Returns the exit code; None while it runs."""
        if self.returncode is None:
            self.returncode = self.server.ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Waits for its end and returns the exit code.

        Raises:
            subprocess.TimeoutExpired: It still runs after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(0.01)
        return code

    def kill(self) -> None:
        """Kills it, but not its children."""
        os.kill(self.pid, signal.SIGKILL)


class CommandServer:
    """The server, for a process that uses it.

    Args:
        connection: The connection to it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers = self._connection.makefile("r")
        self._lock = threading.Lock()

    def start(
        self,
        arguments: Sequence[str],
        cwd: Path,
        environment: dict[str, str],
        stdout: Path,
        stderr: Path,
        module: str | None = None,
    ) -> Command:
        """Starts a command whose output is appended to files; a named pipe is one too.

        A module of scenarios (see `tests.programs.forked`), or one that has a `main`, can be
        started in its place.
        """
        request = {
            "arguments": list(arguments),
            "cwd": str(cwd),
            "environment": environment,
            "outputs": [str(stdout), str(stderr)],
            "module": module,
        }
        pid = self.ask(request)
        assert pid is not None
        return Command(self, pid)

    def run(
        self,
        arguments: Sequence[str],
        cwd: Path,
        environment: dict[str, str],
        seconds: float,
        module: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command, or such a module, and returns its exit code and output.

        Raises:
            subprocess.TimeoutExpired: It was killed after `seconds`.
        """
        with tempfile.TemporaryDirectory() as folder:
            stdout, stderr = Path(folder) / "stdout", Path(folder) / "stderr"
            command = self.start(arguments, cwd, environment, stdout, stderr, module)
            try:
                code = command.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(command.pid, signal.SIGKILL)
                raise
            texts = [path.read_text() for path in (stdout, stderr)]
        return subprocess.CompletedProcess(list(arguments), code, *texts)

    def ask(self, request: dict[str, Any]) -> int | None:
        """Sends a request and returns the answer."""
        with self._lock:
            self._connection.sendall((json.dumps(request) + "\n").encode())
            answer = self._answers.readline()
        if not answer:
            raise RuntimeError("the command server has ended")
        number: int | None = json.loads(answer)
        return number


@cache
def server() -> CommandServer:
    """The server that the processes of a run of the tests share; without one, an own one.

    It is started when it is first used.
    """
    if ADDRESS in os.environ:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(os.environ[ADDRESS])
        return CommandServer(connection)
    from tests.programs.commands import child_environment

    return CommandServer(_start(child_environment()))


def share_server(environment: dict[str, str]) -> None:
    """Starts the server for this process's children, which get its address in a variable.

    Args:
        environment: The environment variables at the time of the imports.
    """
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address = folder / "server"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(address))
    listening.listen()
    # The library reads this when it is imported.
    _start(environment | {"HF_DATASETS_CACHE": str(folder / "datasets")}, listening)
    listening.close()
    os.environ[ADDRESS] = str(address)


def _start(environment: dict[str, str], *listening: socket.socket) -> socket.socket:
    """Starts a server, which ends with this process."""
    ours, theirs = socket.socketpair()
    descriptors = [each.fileno() for each in (theirs, *listening)]
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, *map(str, descriptors)],
        cwd=REPOSITORY,
        env=environment,
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
    )
    theirs.close()

    def end() -> None:
        ours.close()
        process.kill()
        process.wait()

    atexit.register(end)
    return ours


def _import_everything() -> None:
    gc.disable()  # `warm_up` collects what is to be collected
    # Not wandb: it makes a temporary folder when imported, which the first child would remove.
    import datasets  # noqa: F401
    import lightning.pytorch.loggers  # noqa: F401
    import matplotlib.pyplot  # noqa: F401

    from tests.harness.warm import warm_up

    for verb in ("prepare", "train", "evaluate", "predict", "benchmark", "export", "merge"):
        importlib.import_module(f"clozekit.{verb}")
    for folder in ("data.pretraining", "data.labelled", "tasks"):
        package = importlib.import_module(f"clozekit.{folder}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    warm_up()
    gc.enable()


def _serve(owner: socket.socket, *listening: socket.socket) -> dict[str, Any]:
    """Starts and polls commands as it is asked to; returns in the children alone.

    It ends with the process that has started it. Others connect to the sockets it listens at.
    """
    requests = {owner: owner.makefile("r")}
    while True:
        readable, _, _ = select.select([*requests, *listening], [], [])
        for connection in readable:
            if connection in listening:
                accepted, _ = connection.accept()
                requests[accepted] = accepted.makefile("r")
            # Nobody sends a request before the last one is answered, so that a line is all.
            elif line := requests[connection].readline():
                request: dict[str, Any] = json.loads(line)
                answer = _poll(request["poll"]) if "poll" in request else _fork()
                if answer == 0 and "poll" not in request:
                    for each in (*requests.values(), *requests, *listening):
                        each.close()
                    return request
                connection.sendall((json.dumps(answer) + "\n").encode())
            elif connection is owner:
                os._exit(0)
            else:
                requests.pop(connection).close()
                connection.close()


def _poll(child: int) -> int | None:
    pid, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


def _fork() -> int:
    child = os.fork()
    if child:
        # The child does the same; whoever is first, the group exists before it is needed.
        os.setpgid(child, child)
    return child


def _become(request: dict[str, Any]) -> str | None:
    """Makes this process look like one that was started for the command; returns the module."""
    os.setpgid(0, 0)
    # The tests may have been started with nohup.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
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
    module: str | None = request["module"]
    return module


if __name__ == "__main__":
    _import_everything()
    sockets = [socket.socket(fileno=int(each)) for each in sys.argv[1:]]
    if name := _become(_serve(*sockets)):
        from tests.programs import forked

        module = importlib.import_module(name)
        if hasattr(module, "scenarios"):
            forked.main(module.scenarios)
        else:
            module.main()
    else:
        from clozekit.__main__ import main

        main()
