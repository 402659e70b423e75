"""Runs in forked children, which do not have to import torch and Lightning again."""

import atexit
import contextlib
import gc
import multiprocessing.util
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import datasets  # noqa: F401  imported once, for all children
import lightning.pytorch.loggers  # noqa: F401
import torch
import wandb  # noqa: F401

import clozekit.data.labelled.classification
import clozekit.data.pretraining.pair_datamodule
import clozekit.tasks.classification
import clozekit.tasks.pretraining
import clozekit.train
import clozekit.training.preemption
from clozekit.config.train import TrainConfig
from clozekit.errors import UserError

GRACE_SECONDS = 30.0
"""The time that the other processes have to detect that one was killed."""

USER_ERROR = 2


def fork(work: Callable[[], None], log: Path, environment: dict[str, str], group: int = 0) -> int:
    """Forks a child that runs `work` and exits like the command, in a process group (0: a new)."""
    pid = os.fork()
    if pid:
        os.setpgid(pid, group)
        return pid
    code = 1
    at_exit: list[Callable[[], object]] = [multiprocessing.util._exit_function]
    try:
        # What this process would do at its end, such as to end its Ray, is not for the child.
        atexit.register = _register_in(at_exit)
        os.setpgid(0, group)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.environ.update(environment)
        try:
            work()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except UserError as error:
            print(error, file=sys.stderr)
            code = USER_ERROR
        except BaseException:
            traceback.print_exc()
        gc.collect()  # ends data workers
        for function in reversed(at_exit):
            function()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _register_in(functions: list[Callable[[], object]]) -> Callable[..., Any]:
    """Returns an `atexit.register` that puts functions into a list."""

    def register(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
        functions.append(partial(function, *args, **kwargs))
        return function

    return register


def run(
    config: TrainConfig,
    ranks: int,
    log: Path,
    patches: tuple[Callable[[], None], ...] = (),
    kill_after: float | None = None,
    variables: Callable[[int, int, int], dict[str, str]] | None = None,
) -> tuple[list[int], bool]:
    """Trains on `ranks` processes of one process group, with the variables that torchrun sets.

    Returns:
        The exit code of each rank (negative for the signal that killed it), and whether all ranks
        ended by themselves after one was killed.
    """

    def work() -> None:
        torch.set_num_threads(1)
        # Plotting takes longer than such a run.
        mock.patch("clozekit.train.plot_curves").start()
        for patch in patches:
            patch()
        clozekit.train.train(config)

    port = free_port()
    variables = variables or torchrun_variables
    pids: list[int] = []
    for rank in range(ranks):
        pids.append(fork(work, log, variables(rank, ranks, port), pids[0] if pids else 0))
    codes: dict[int, int] = {}
    began, first_death, left_alone = time.monotonic(), None, True
    while len(codes) < len(pids):
        for pid in pids:
            if pid not in codes and (ended := os.waitpid(pid, os.WNOHANG))[0]:
                codes[pid] = os.waitstatus_to_exitcode(ended[1])
        now = time.monotonic()
        if kill_after is not None and now - began > kill_after:
            _kill(pids)
            kill_after = None
        if codes and first_death is None:
            first_death = now
        if first_death is not None and now - first_death > GRACE_SECONDS:
            left_alone = False
            _kill(pids)
        time.sleep(0.01)
    _kill_group(pids[0])
    return [codes[pid] for pid in pids], left_alone


def fork_and_wait(work: Callable[[], None], log: Path) -> int:
    """Runs `work` in a child and returns its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(fork(work, log, {}), 0)[1])


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Makes a temporary folder and removes it at the end.

    Not `TemporaryDirectory`, which a forked child would also remove when it ends.
    """
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def fresh(folder: Path) -> Path:
    """Makes an empty folder; removes the existing one, if any."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def torchrun_variables(rank: int, ranks: int, port: int) -> dict[str, str]:
    """Returns the variables that torchrun sets for a process."""
    if ranks == 1:
        return {}
    return {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "TORCHELASTIC_RUN_ID": "none",
    }


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _kill_group(group: int) -> None:
    """Kills the data workers that a killed process left; they would end only after seconds."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
