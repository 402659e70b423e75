"""Jobs that submitit submits to Slurm, with the folders and rules of jobs of this machine."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from clozekit.errors import ConfigError
from clozekit.sweeps.job import Job
from clozekit.sweeps.processes import LocalJob, job_environment, start_process

SLURM, LOCAL = "slurm", "local"
FOLDER = "submitit"
"""What submitit itself writes, in the sweep's folder."""


class SubmittedCommand:
    """What is run where submitit has put the job: the single run, as a process of its own.

    Under Slurm there is such a task for every process of the job, and Lightning takes its place
    from Slurm's variables. SIGTERM is passed on. At the end of its time submitit asks for a
    checkpoint and queues the job again, which then goes on from it.

    Args:
        job: The job.
        sweep: The sweep's name.
    """

    def __init__(self, job: Job, sweep: str) -> None:
        self.job = job
        self.sweep = sweep
        self._stop: Callable[[], None] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_stop": None}

    def __call__(self) -> int:
        """Runs the job and gives its exit code."""
        environment = job_environment(self.sweep, os.environ)
        rank = int(os.environ.get("SLURM_PROCID", "0"))
        poll: Callable[[], int | None]
        if rank == 0:
            running = LocalJob(self.job, environment, print)
            poll, self._stop = running.poll, lambda: running.stop(signal.SIGTERM)
        else:
            log_file = self.job.log_file.with_stem(f"{self.job.log_file.stem}.{rank}")
            process = start_process(self.job.arguments, log_file, environment)
            poll, self._stop = process.poll, process.terminate
        signal.signal(signal.SIGTERM, lambda *_: self._stop and self._stop())
        while (exit_code := poll()) is None:
            time.sleep(0.1)
        return exit_code

    def checkpoint(self) -> Any:
        """Makes the run save and end, and gives what goes on with it."""
        from submitit.helpers import DelayedSubmission

        if self._stop is not None:
            self._stop()
        return DelayedSubmission(SubmittedCommand(self.job, self.sweep))


class SubmittedJob:
    """A job in the hands of submitit.

    Args:
        job: The job.
        submitted: submitit's.
        cluster: Where it is.
    """

    def __init__(self, job: Job, submitted: Any, cluster: str) -> None:
        self.job = job
        self._submitted = submitted
        self._cluster = cluster
        self._is_stopped = False

    def poll(self) -> int | None:
        """Gives the exit code once the job has ended."""
        from submitit.core.utils import UncompletedJobError

        if not self._submitted.done():
            return None
        try:
            return int(self._submitted.results()[0])
        except UncompletedJobError as error:
            if self._is_stopped:
                return 128 + signal.SIGINT
            with self.job.log_file.open("a", encoding="utf-8") as log:
                log.write(f"{str(error).strip()}\n")
            return 1

    def stop(self, number: signal.Signals) -> None:
        """Makes the job save and end; one that still waits in the queue is taken out of it."""
        self._is_stopped = True
        if self._cluster == LOCAL:
            # submitit's own cancelling waits no longer than a second.
            self._signal_controller(signal.SIGTERM)
        else:
            self._submitted.cancel(check=False)

    def kill(self) -> None:
        """Ends the job at once."""
        self._is_stopped = True
        if self._cluster == LOCAL:
            self._signal_controller(signal.SIGINT)
        else:
            self._submitted.cancel(check=False)

    def _signal_controller(self, number: signal.Signals) -> None:
        if not self._submitted.done():
            os.kill(int(self._submitted.job_id), number)


class SubmititExecutor:
    """Submits jobs.

    Args:
        sweep: The sweep's name.
        folder: The sweep's folder.
        n_jobs: How many are submitted at a time.
        cluster: `slurm` or `local`.
        timeout_min: A job's time; where it does not suffice the job saves and is queued again.
        parameters: More of `submitit.AutoExecutor`'s.

    Raises:
        ConfigError: submitit is not installed, or knows no such cluster or parameter.
    """

    def __init__(
        self,
        sweep: str,
        folder: Path,
        n_jobs: int,
        cluster: str,
        timeout_min: int,
        parameters: Mapping[str, Any],
    ) -> None:
        if cluster not in (SLURM, LOCAL):
            raise ConfigError(f"hydra.launcher.cluster={cluster}: it should be slurm or local")
        try:
            import submitit
        except ImportError as error:
            raise ConfigError(
                "hydra/launcher=submitit needs submitit: pip install 'clozekit[sweep]'"
            ) from error
        if cluster == SLURM and shutil.which("srun") is None:
            raise ConfigError(
                "hydra.launcher.cluster=slurm: there is no srun here; local is this machine"
            )
        self.sweep = sweep
        self.n_jobs = n_jobs
        self.cluster = cluster
        self._parameters = {"timeout_min": timeout_min, **parameters}
        self._folder = folder / FOLDER
        self._submitit = submitit

    def check(self, job: Job) -> None:
        """Checks that the job can be submitted.

        Raises:
            ConfigError: Its number of processes is not said, it needs more than one machine, or
                submitit refuses a parameter.
        """
        if self.cluster == LOCAL and job.num_nodes() > 1:
            raise ConfigError(
                f"trainer.num_nodes={job.num_nodes()}: hydra.launcher.cluster=local is one machine"
            )
        if self.cluster == SLURM and job.devices() is None:
            raise ConfigError(
                "trainer.devices should be a number: Slurm is asked for as many tasks on every node"
            )

        with TemporaryDirectory() as folder:  # submitit makes the one that it is given
            self._executor(job, Path(folder))

    def _executor(self, job: Job, folder: Path) -> Any:
        executor: Any = self._submitit.AutoExecutor(folder, cluster=self.cluster)
        try:
            executor.update_parameters(**self.parameters(job))
        except (NameError, ValueError, TypeError, AssertionError) as error:
            told = str(error).splitlines()[0]
            raise ConfigError(f"hydra.launcher.parameters={self._parameters}: {told}") from error
        return executor

    def parameters(self, job: Job) -> dict[str, Any]:
        """Gives what is asked for: a task for every process of the job under Slurm, else one."""
        asked: dict[str, Any] = {"name": job.name}
        devices = job.devices() or 1
        if self.cluster == SLURM:
            asked |= {"nodes": job.num_nodes(), "tasks_per_node": devices}
        if job.needs_gpus():
            asked["gpus_per_node"] = devices
        return {**asked, **self._parameters}

    def start(self, job: Job, slot: int, say: Callable[[str], None]) -> SubmittedJob:
        """Submits a job."""
        executor = self._executor(job, self._folder)
        return SubmittedJob(job, executor.submit(SubmittedCommand(job, self.sweep)), self.cluster)
