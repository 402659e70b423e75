"""Runs jobs as local processes that do not outlive their sweep."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from clozekit.errors import ConfigError
from clozekit.files import append_text
from clozekit.runs.lock import Lock
from clozekit.runs.pruning_files import ASKS
from clozekit.sweeps.fork_server import ForkServer, ForkServerLostError
from clozekit.sweeps.job import Job
from clozekit.sweeps.parents import ending_with
from clozekit.sweeps.resources import shares

PLACES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
"""Environment variables that would make a job part of a group of processes."""

OF_AN_AGENT = ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH")
"""Environment variables by which `wandb agent` makes a process its run, which has one job only."""


class Process(Protocol):
    """A job's process: a `subprocess.Popen`, or a forked process."""

    @property
    def pid(self) -> int | None:
        """The process's ID; None if it has not begun."""

    def poll(self) -> int | None:
        """Returns the exit code; None while it runs."""

    def send_signal(self, number: int) -> None:
        """Sends it a signal, unless it has ended."""


def job_environment(
    sweep: str, given: Mapping[str, str], is_pruned: bool = False
) -> dict[str, str]:
    """Returns a job's environment: the sweep's environment, with the sweep as its W&B group.

    Args:
        sweep: The sweep's name.
        given: The sweep's environment.
        is_pruned: Whether the sweep answers the reports of the job's validations.
    """
    left_out = (*PLACES, *OF_AN_AGENT, ASKS)
    environment = {name: value for name, value in given.items() if name not in left_out}
    environment.setdefault("WANDB_RUN_GROUP", sweep)
    return environment | ({ASKS: "1"} if is_pruned else {})


def start_process(
    arguments: tuple[str, ...],
    log_file: Path,
    environment: Mapping[str, str],
    lock: Lock | None = None,
) -> "subprocess.Popen[bytes]":
    """Starts `clozekit` in its own session, with its output appended to a file.

    In its own session, the process only receives Ctrl-C from the sweep, and its children can be
    killed together. On Linux the kernel sends it SIGTERM when the sweep dies, so that it saves and
    exits instead of training on unnoticed. On other systems its lock shows that it is still
    running.
    """
    # With -P, no file in the current folder can replace a module of Python.
    command = [sys.executable, "-P", "-m", "clozekit", *arguments]
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with append_text(log_file) as log:
        log.write(f"$ {shlex.join(['clozekit', *arguments])}\n")
        log.flush()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            pass_fds=() if lock is None else (lock.descriptor,),
            start_new_session=True,
            preexec_fn=_before_exec(environment),
        )
    if lock is not None:
        lock.sign(process.pid)
    return process


def _before_exec(environment: Mapping[str, str]) -> Callable[[], None]:
    """Returns what the new process does before it is `clozekit`."""
    end_with_parent = ending_with(os.getpid(), signal.SIGTERM)

    def prepare() -> None:
        if environment.get("SUBMITIT_EXECUTOR") == "slurm":
            # Slurm sends submitit's signal before the time limit to all processes of a job.
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        end_with_parent()

    return prepare


def end_session(process: Process) -> None:
    """Kills all processes of a session, for example ranks that are left without rank 0."""
    if process.pid is None:
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


class LocalJob:
    """A job on this machine. It waits if an earlier start of the same job is still alive.

    Args:
        job: The job.
        environment: The environment of its process.
        say: Prints a message if the job has to wait.
        server: Forks the job if it can. Otherwise the job is a new process.
    """

    def __init__(
        self,
        job: Job,
        environment: Mapping[str, str],
        say: Callable[[str], None],
        server: ForkServer | None = None,
    ) -> None:
        self.job = job
        self._environment = environment
        self._server = server
        self._lock = Lock(job.lock_file)
        self._process: Process | None = None
        self._is_stopped = False
        if not self._start():
            say(f"{job.name}: waiting for {self._lock.holder()}, left over from an earlier sweep")

    def _start(self) -> bool:
        if not self._lock.acquire():
            return False
        given = (self.job.arguments, self.job.log_file, self._environment, self._lock)
        try:
            forked = None if self._server is None else self._server.start(*given)
            self._process = forked or start_process(*given)
        finally:
            # From now on the job's process holds the lock.
            self._lock.release()
        return True

    def poll(self) -> int | None:
        """Returns the exit code; None while the job is running."""
        if self._process is None:
            if self._is_stopped:
                return 128 + signal.SIGINT
            if self.job.results() is not None and self._lock.acquire():
                self._lock.release()
                return 0  # the earlier process has finished the job
            self._start()
            return None
        try:
            exit_code = self._process.poll()
        except ForkServerLostError:
            self._process = None  # to be started at the next call
            return None
        if exit_code is not None:
            end_session(self._process)
        return exit_code

    def stop(self, number: signal.Signals) -> None:
        """Forwards a signal to the job, which saves and exits."""
        self._is_stopped = True
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kills the job."""
        self._is_stopped = True
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            end_session(self._process)


class LocalExecutor:
    """Runs jobs on this machine.

    Args:
        sweep: The sweep's name.
        n_jobs: The number of concurrent jobs, which share the machine.
        fork_server: Whether jobs are forked from a process that did the imports, if possible.

    Attributes:
        is_pruned: Whether the sweep answers the reports of the jobs' validations.
    """

    def __init__(self, sweep: str, n_jobs: int, fork_server: bool = True) -> None:
        self.is_pruned = False
        self.sweep = sweep
        self.n_jobs = n_jobs
        self._server = ForkServer() if fork_server else None

    def close(self) -> None:
        """Ends the process that forks jobs."""
        if self._server is not None:
            self._server.close()

    def check(self, job: Job) -> None:
        """Checks that the job can run on this machine.

        Raises:
            ConfigError: The job needs more than this machine has.
        """
        if job.num_nodes() > 1:
            raise ConfigError(
                f"trainer.num_nodes={job.num_nodes()}: a job of a sweep runs on one machine; for "
                "more, set hydra/launcher=submitit and hydra.launcher.cluster=slurm"
            )
        shares(job, self.n_jobs, 0, os.environ)

    def start(self, job: Job, slot: int, say: Callable[[str], None]) -> LocalJob:
        """Starts a job."""
        environment = job_environment(self.sweep, os.environ, self.is_pruned)
        environment |= shares(job, self.n_jobs, slot, os.environ)
        return LocalJob(job, environment, say, self._server)
