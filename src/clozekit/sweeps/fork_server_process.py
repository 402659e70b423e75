"""The process that forks jobs; `clozekit.sweeps.fork_server` starts it.

    python -P -m clozekit.sweeps.fork_server_process SOCKET

It has no threads and has not used CUDA, so that its children can use both. Modules of the user's
are only imported in the children, and so is wandb: it makes temporary folders at its import, which
the first child would remove.
"""

import importlib
import json
import os
import runpy
import shlex
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import Any, NamedTuple

from clozekit.environment import prepare_for_torch, without_collector
from clozekit.output.standard_streams import open_standard_streams
from clozekit.runs.lock import sign
from clozekit.sweeps.fork_server import LENGTH
from clozekit.sweeps.parents import ending_with
from clozekit.sweeps.process_title import set_process_title

MODULES = (
    "clozekit.cli",
    "clozekit.command",
    "clozekit.train",
    "matplotlib.backends.backend_agg",
    "pandas",
)
"""pyarrow imports pandas when it converts arrays."""


class _Request(NamedTuple):
    arguments: list[str]
    environment: dict[str, str | None]
    log: int
    lock: int
    answer: int


def main() -> None:
    """Serves requests until the sweep ends; in a child, runs the job."""
    sweep = os.getppid()
    connection = socket.socket(fileno=int(sys.argv[1]))
    # Handlers of logging are made at the imports and keep the streams of that time.
    open_standard_streams()
    _import()
    request = _serve(connection, sweep)
    connection.close()
    _become(request)
    runpy.run_module("clozekit", run_name="__main__", alter_sys=True)


def _import() -> None:
    """Imports what a run needs; ends the process if a child could not be like a new process."""
    prepare_for_torch()
    # Lightning sets it too: whether there are GPUs is then found out without the CUDA runtime.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    folder = os.environ.get("MPLCONFIGDIR")
    # The collector of a child does not visit, and so copy, what is imported here either.
    with without_collector():
        for name in MODULES:
            importlib.import_module(name)
        # A mistake in a file of the configuration is for the job to tell.
        with suppress(Exception):
            _warm_up()
    if os.environ.get("MPLCONFIGDIR") != folder:
        sys.exit("matplotlib has made a temporary folder, which the first job would remove")
    if threading.active_count() > 1:
        # A child would not have the threads, but possibly locks that they hold.
        sys.exit("a module has started a thread")


def _warm_up() -> None:
    """Does once what the first composition and the first picture of each job would do anew."""
    from clozekit.config.composition.warming import compose_unused
    from clozekit.output.figures import draw_unused

    compose_unused()
    draw_unused()


def _serve(connection: socket.socket, sweep: int) -> _Request:
    """Forks a job for each request; returns in the jobs alone."""
    end_with_sweep = ending_with(sweep, signal.SIGTERM)
    while True:
        request = _receive(connection)
        if request is None:
            os._exit(0)
        child = os.fork()
        if child == 0:
            child = os.getpid()
            if os.fork():
                os._exit(0)
            os.setsid()
            while os.getppid() == child:
                time.sleep(0.0005)
            end_with_sweep()
            return request
        for descriptor in (request.log, request.lock, request.answer):
            os.close(descriptor)
        with suppress(ChildProcessError):  # SIGCHLD is ignored
            os.waitpid(child, 0)


def _receive(connection: socket.socket) -> _Request | None:
    header, descriptors, _, _ = socket.recv_fds(connection, LENGTH.size, maxfds=3)
    if not header:
        return None
    (length,) = LENGTH.unpack(header)
    with connection.makefile("rb", buffering=0) as stream:
        content = b""
        while len(content) < length:
            part = stream.read(length - len(content))
            if not part:
                return None
            content += part
    values: dict[str, Any] = json.loads(content)
    log, lock, answer = descriptors
    return _Request(values["arguments"], values["environment"], log, lock, answer)


def _become(request: _Request) -> None:
    """Makes this process like one that was started for the job, and answers the request."""
    import torch

    from clozekit.config.composition.warming import compose_once

    if torch.cuda._is_in_bad_fork():
        # An import has used CUDA. Without an answer, the job becomes a new process.
        os._exit(1)
    for name, value in request.environment.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    for descriptor in (1, 2):
        os.dup2(request.log, descriptor)
    os.close(request.log)
    command = ["clozekit", *request.arguments]
    os.write(1, f"$ {shlex.join(command)}\n".encode(errors="surrogateescape"))
    os.set_inheritable(request.lock, True)
    sign(request.lock, os.getpid())
    sys.argv = command
    sys.orig_argv[:] = [sys.executable, "-P", "-m", *command]
    set_process_title(sys.orig_argv)
    _renew_random_states()
    compose_once()
    importlib.invalidate_caches()
    os.write(request.answer, str(os.getpid()).encode())
    os.close(request.answer)


def _renew_random_states() -> None:
    """Seeds numpy's global generator from the system, as its import does; Python's own is done."""
    import numpy as np

    np.random.seed()


if __name__ == "__main__":
    main()
