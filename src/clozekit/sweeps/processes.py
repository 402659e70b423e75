"""A job as a process of this machine, which does not outlive its sweep."""

import ctypes
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from clozekit.errors import ConfigError
from clozekit.sweeps.job import Job
from clozekit.sweeps.lock import Lock
from clozekit.sweeps.resources import shares

PR_SET_PDEATHSIG = 1
PLACES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What would tell a job that it is one of several processes."""


def job_environment(sweep: str, given: Mapping[str, str]) -> dict[str, str]:
    """Gives a job's environment: the sweep's, and its group in W&B."""
    environment = {name: value for name, value in given.items() if name not in PLACES}
    environment.setdefault("WANDB_RUN_GROUP", sweep)
    return environment


def start_process(
    arguments: tuple[str, ...],
    log_file: Path,
    environment: Mapping[str, str],
    lock: Lock | None = None,
) -> "subprocess.Popen[bytes]":
    """Starts `clozekit` in a session of its own, with its output at the end of a file.

    In its own session it gets no Ctrl-C but the one that the sweep passes on, and what it leaves
    behind can be ended with it. On Linux the kernel sends it SIGTERM when the sweep dies, so that
    it saves and ends rather than train on unseen; elsewhere the lock shows that it still runs.
    """
    command = [sys.executable, "-m", "clozekit", *arguments]
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as log:
        log.write(f"$ {shlex.join(['clozekit', *arguments])}\n".encode())
        log.flush()
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            pass_fds=() if lock is None else (lock.descriptor,),
            start_new_session=True,
            preexec_fn=_end_with_parent(),
        )


def _end_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before it could be asked for
            os._exit(128 + signal.SIGTERM)

    return ask


def end_session(process: "subprocess.Popen[bytes]") -> None:
    """Ends all processes of a session, such as ranks whose first one is gone."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


class LocalJob:
    """A job on this machine. It waits where an earlier start of it is still alive.

    Args:
        job: The job.
        environment: The environment of its process.
        say: Where to tell that it waits.
    """

    def __init__(
        self, job: Job, environment: Mapping[str, str], say: Callable[[str], None]
    ) -> None:
        self.job = job
        self._environment = environment
        self._lock = Lock(job.lock_file)
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False
        if not self._start():
            say(f"{job.name}: waits for {self._lock.holder()}, which an earlier sweep has left")

    def _start(self) -> bool:
        if not self._lock.acquire():
            return False
        try:
            self._process = start_process(
                self.job.arguments, self.job.log_file, self._environment, self._lock
            )
            self._lock.sign(self._process.pid)
        finally:
            # From now on the job itself holds it.
            self._lock.release()
        return True

    def poll(self) -> int | None:
        """Gives the exit code once the job has ended."""
        if self._process is None:
            if self._is_stopped:
                return 128 + signal.SIGINT
            if self.job.results() is not None and self._lock.acquire():
                self._lock.release()
                return 0  # the process that was waited for has finished the job
            self._start()
            return None
        exit_code = self._process.poll()
        if exit_code is not None:
            end_session(self._process)
        return exit_code

    def stop(self, number: signal.Signals) -> None:
        """Passes a signal on; the job saves and ends."""
        self._is_stopped = True
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Ends the job at once."""
        self._is_stopped = True
        if self._process is not None:
            end_session(self._process)


class LocalExecutor:
    """Runs jobs on this machine.

    Args:
        sweep: The sweep's name.
        n_jobs: How many jobs run at a time, and share the machine.
    """

    def __init__(self, sweep: str, n_jobs: int) -> None:
        self.sweep = sweep
        self.n_jobs = n_jobs

    def check(self, job: Job) -> None:
        """Checks that the job can run here.

        Raises:
            ConfigError: It needs more than this machine has.
        """
        if job.num_nodes() > 1:
            raise ConfigError(
                f"trainer.num_nodes={job.num_nodes()}: a sweep's jobs run on one machine each, but "
                "under hydra/launcher=submitit with hydra.launcher.cluster=slurm"
            )
        shares(job, self.n_jobs, 0, os.environ)

    def start(self, job: Job, slot: int, say: Callable[[str], None]) -> LocalJob:
        """Starts a job."""
        environment = job_environment(self.sweep, os.environ)
        environment |= shares(job, self.n_jobs, slot, os.environ)
        return LocalJob(job, environment, say)
