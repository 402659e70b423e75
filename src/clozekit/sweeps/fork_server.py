"""Starts jobs in a fraction of the time: they are forked from a process that did the imports.

The process itself is `clozekit.sweeps.fork_server_process`. It is started with the first job.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from clozekit.files import append_text
from clozekit.runs.lock import Lock
from clozekit.sweeps.parents import adopt_orphans, ending_with

LENGTH = struct.Struct("!Q")
"""The format of a request's length, which precedes the request."""

READ_LATE = ("CUDA_VISIBLE_DEVICES",)
"""Environment variables that are read after the imports, so that they can differ between jobs."""

ROOM_FOR_TITLE = 4000
"""The number of spaces that a job can replace by its own command line."""


class ForkServerLostError(Exception):
    """The server has ended before it started a job."""


class ForkServer:
    """A process that forks jobs, for the process that runs the sweep.

    A job is a child of this process, as if it had been started by `subprocess`: the server's child
    forks the job and ends, and the kernel makes the job a child of the nearest ancestor that adopts
    orphans. So a job's exit code and signals do not depend on the server.

    Only Linux can do this. On other systems, with another environment than the first job's, and if
    the server has ended, `start` returns None, and the job needs a new process.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._environment: dict[str, str] = {}
        self._groups: set[int] = set()
        self._is_lost = False

    def start(
        self,
        arguments: tuple[str, ...],
        log_file: Path,
        environment: Mapping[str, str],
        lock: Lock,
    ) -> "ForkedProcess | None":
        """Starts `clozekit` in its own session, with its output appended to a file.

        Args:
            arguments: The arguments of `clozekit`.
            log_file: The file of its output.
            environment: Its environment.
            lock: The lock that it holds and signs.

        Returns:
            The process, which may not have begun yet; None if there is no server for it.
        """
        early = {name: value for name, value in environment.items() if name not in READ_LATE}
        if self._process is None and not self._is_lost:
            self._open(early)
        if self._is_lost or early != self._environment:
            return None
        late = {name: environment.get(name) for name in READ_LATE}
        request = json.dumps({"arguments": arguments, "environment": late}).encode()
        answer, theirs = os.pipe()
        process = ForkedProcess(self, answer)
        assert self._connection is not None
        try:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            with append_text(log_file) as log:
                descriptors = [log.fileno(), lock.descriptor, theirs]
                header = LENGTH.pack(len(request))
                socket.send_fds(self._connection, [header], descriptors)
                self._connection.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            self.lose()
            return None
        finally:
            os.close(theirs)
        return process

    def _open(self, environment: dict[str, str]) -> None:
        if not adopt_orphans(True):
            self._is_lost = True
            return
        self._environment = environment
        self._connection, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "clozekit.sweeps.fork_server_process"]
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), " " * ROOM_FOR_TITLE],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                pass_fds=(theirs.fileno(),),
                # Ctrl-C is for this process, which passes it on to the jobs.
                start_new_session=True,
                preexec_fn=ending_with(os.getpid(), signal.SIGKILL),
            )

    def lose(self) -> None:
        """Ends the server's process, and thus requests that it has not answered yet."""
        self._is_lost = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Ends the server; jobs should have ended before."""
        if self._process is not None:
            self.lose()
            self.reap()
            adopt_orphans(False)
        if self._connection is not None:
            self._connection.close()

    def reap(self, group: int | None = None) -> None:
        """Removes processes of ended jobs that outlived them, once they are killed.

        Args:
            group: The process group of a job that has ended.
        """
        self._groups |= set() if group is None else {group}
        for known in list(self._groups):
            try:
                while os.waitpid(-known, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                self._groups.remove(known)


class ForkedProcess:
    """A process that the server forks, with the methods of `subprocess.Popen` that jobs need.

    Args:
        server: The server.
        answer: The file descriptor from which the process's ID can be read when it has begun.

    Attributes:
        pid: The process's ID, which is that of its session too; None if it has not begun.
        returncode: The exit code; None while it runs.
    """

    def __init__(self, server: ForkServer, answer: int) -> None:
        self.pid: int | None = None
        self.returncode: int | None = None
        self._server = server
        self._answer = os.fdopen(answer, "rb", buffering=0)
        os.set_blocking(answer, False)

    def poll(self) -> int | None:
        """Returns the exit code; None while the process is running, or has not begun.

        Raises:
            ForkServerLostError: The process will not begin.
        """
        self._server.reap()
        if self.returncode is None and self._has_begun():
            assert self.pid is not None
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # SIGCHLD is ignored, so exit codes are lost; `subprocess` takes them for 0, too.
                pid, status = self.pid, 0
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
                self._server.reap(self.pid)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal; a process that has not begun will not begin."""
        try:
            if self.poll() is None and self.pid is None:
                self._server.lose()
                os.set_blocking(self._answer.fileno(), True)
                self._has_begun()
        except ForkServerLostError:
            self.returncode = -number
        if self.returncode is None:
            assert self.pid is not None
            os.kill(self.pid, number)

    def _has_begun(self) -> bool:
        if self.pid is None:
            answered = self._answer.read(64)
            if answered is None:
                return False
            self._answer.close()
            if not answered:
                self._server.lose()
                raise ForkServerLostError
            self.pid = int(answered)
        return True
