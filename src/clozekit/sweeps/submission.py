"""Submits jobs to Slurm with submitit. Folders and locks are the same as for local jobs."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from clozekit.documents import read_json_object
from clozekit.errors import ConfigError, first_line
from clozekit.exit_codes import PREEMPTED
from clozekit.files import append_text, write_json
from clozekit.processes import slurm
from clozekit.sweeps.job import INTERRUPTED_CODES, Job
from clozekit.sweeps.processes import LocalJob, job_environment, start_process

SLURM, LOCAL = "slurm", "local"
FOLDER = "submitit"
"""The folder in the sweep's folder for submitit's own files."""

SECONDS_BETWEEN_POLLS = 0.1
SECONDS_BETWEEN_LOOKS = 10.0
"""Between two questions to Slurm about a job; its result is looked for more often."""

ANY_NUMBER = 10**6
"""A job may reach its time limit this often; submitit's default is 3."""


class SubmittedCommand:
    """The function that submitit runs on the cluster. It starts the run as a separate process.

    Under Slurm, each process of the job is one such task, and Lightning reads its rank from Slurm's
    environment variables. SIGTERM is forwarded to the run. When the time limit is near, submitit
    requests a checkpoint and queues the job again, which resumes from it. A job that Slurm preempts
    is queued again too, but not one that was cancelled.

    Args:
        job: The job.
        sweep: The sweep's name.
        is_pruned: Whether the sweep answers the reports of the job's validations.
    """

    def __init__(self, job: Job, sweep: str, is_pruned: bool = False) -> None:
        self.job = job
        self.sweep = sweep
        self.is_pruned = is_pruned
        self._poll: Callable[[], int | None] = lambda: 0
        self._stop: Callable[[], None] = lambda: None

    def __reduce__(self) -> tuple[Any, ...]:
        return SubmittedCommand, (self.job, self.sweep, self.is_pruned)

    def __call__(self) -> int:
        """Runs the job and returns its exit code."""
        environment = job_environment(self.sweep, os.environ, self.is_pruned)
        rank = int(os.environ.get("SLURM_PROCID", "0"))
        if rank == 0:
            running = LocalJob(self.job, environment, print)
            self._poll, self._stop = running.poll, lambda: running.stop(signal.SIGTERM)
        else:
            log_file = self.job.log_file.with_stem(f"{self.job.log_file.stem}.{rank}")
            process = start_process(self.job.arguments, log_file, environment)
            self._poll, self._stop = process.poll, process.terminate
        signal.signal(signal.SIGTERM, lambda *_: self._stop())
        exit_code = self._wait()
        if rank == 0 and exit_code in INTERRUPTED_CODES and slurm.was_preempted(os.environ):
            # submitit's handler calls `checkpoint`, queues the job again and exits.
            signal.raise_signal(signal.SIGUSR2)
        return exit_code

    def checkpoint(self) -> Any:
        """Makes the run save and exit, and returns the submission that continues it."""
        from submitit.helpers import DelayedSubmission

        self._stop()
        # submitit then ends the job, and with it a run that is still saving.
        self._wait()
        return DelayedSubmission(SubmittedCommand(self.job, self.sweep, self.is_pruned))

    def _wait(self) -> int:
        while (exit_code := self._poll()) is None:
            time.sleep(SECONDS_BETWEEN_POLLS)
        return exit_code


class SubmittedJob:
    """A job that was submitted with submitit.

    Args:
        job: The job.
        submitted: submitit's job.
        cluster: `slurm` or `local`.
    """

    def __init__(self, job: Job, submitted: Any, cluster: str) -> None:
        self.job = job
        self._submitted = submitted
        self._cluster = cluster
        self._is_stopped = False
        self._last_look = time.monotonic()

    def poll(self) -> int | None:
        """Returns the exit code; None while the job is queued or running."""
        from submitit.core.utils import UncompletedJobError

        if self._cluster == SLURM and not self._submitted.paths.result_pickle.exists():
            return self._code_without_result()
        if not self._submitted.done():
            return None
        try:
            return int(self._submitted.results()[0])
        except UncompletedJobError as error:
            if self._is_stopped:
                return 128 + signal.SIGINT
            with append_text(self.job.log_file) as log:
                log.write(f"{str(error).strip()}\n")
            return 1

    def _code_without_result(self) -> int | None:
        """Asks Slurm about a job that has not returned a result."""
        now = time.monotonic()
        if now - self._last_look < SECONDS_BETWEEN_LOOKS:
            return None
        self._last_look = now
        state = slurm.state_of(self._submitted.job_id)
        if state in slurm.NOT_ENDED or self._submitted.paths.result_pickle.exists():
            return None
        if self._is_stopped or state == slurm.CANCELLED:
            return PREEMPTED
        with append_text(self.job.log_file) as log:
            log.write(f"Slurm's job {self._submitted.job_id} ended in state {state}\n")
        return 1

    def stop(self, number: signal.Signals) -> None:
        """Makes the job save and exit; a queued job is removed from the queue."""
        self._is_stopped = True
        if self._cluster == LOCAL:
            # submitit's own cancel kills the job after a second.
            self._signal_controller(signal.SIGTERM)
        else:
            self._submitted.cancel(check=False)

    def kill(self) -> None:
        """Kills the job."""
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
        n_jobs: The number of concurrently submitted jobs.
        cluster: `slurm` or `local`.
        timeout_min: The time limit per job. A job that needs more time saves and is requeued.
        parameters: Additional parameters of `submitit.AutoExecutor`.

    Attributes:
        is_pruned: Whether the sweep answers the reports of the jobs' validations.

    Raises:
        ConfigError: submitit is not installed, or does not support the cluster or a parameter.
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
                "hydra/launcher=submitit requires submitit: run pip install 'clozekit[sweep]'"
            ) from error
        if cluster == SLURM and shutil.which("srun") is None:
            raise ConfigError(
                "hydra.launcher.cluster=slurm: there is no srun here; local is this machine"
            )
        self.is_pruned = False
        self.sweep = sweep
        self.n_jobs = n_jobs
        self.cluster = cluster
        self._parameters = {"timeout_min": timeout_min, **parameters}
        self._folder = folder / FOLDER
        self._submitit = submitit

    def check(self, job: Job) -> None:
        """Checks that the job can be submitted.

        Raises:
            ConfigError: The number of processes is not a number, the job needs several machines
                but the cluster is `local`, or submitit rejects a parameter.
        """
        if self.cluster == LOCAL and job.num_nodes() > 1:
            raise ConfigError(
                f"trainer.num_nodes={job.num_nodes()} requires hydra.launcher.cluster=slurm; "
                "cluster=local is one machine"
            )
        if self.cluster == SLURM and job.devices() is None:
            raise ConfigError(
                "trainer.devices should be a number, because it is the number of Slurm tasks per "
                "node"
            )

        with TemporaryDirectory() as folder:  # because submitit creates its folder
            self._executor(job, Path(folder))

    def _executor(self, job: Job, folder: Path) -> Any:
        executor: Any = self._submitit.AutoExecutor(
            folder, cluster=self.cluster, slurm_max_num_timeout=ANY_NUMBER
        )
        try:
            executor.update_parameters(**self.parameters(job))
        except (NameError, ValueError, TypeError, AssertionError) as error:
            reason = first_line(error)
            raise ConfigError(f"hydra.launcher.parameters={self._parameters}: {reason}") from error
        return executor

    def parameters(self, job: Job) -> dict[str, Any]:
        """Returns submitit's parameters: one task per process of the job under Slurm, else one."""
        asked: dict[str, Any] = {"name": job.name}
        devices = job.devices() or 1
        if self.cluster == SLURM:
            asked |= {"nodes": job.num_nodes(), "tasks_per_node": devices}
        if job.needs_gpus():
            asked["gpus_per_node"] = devices
        return {**asked, **self._parameters}

    def start(self, job: Job, slot: int, say: Callable[[str], None]) -> SubmittedJob:
        """Submits a job, or joins the one that an earlier start of the sweep submitted."""
        submitted = self._submitted_earlier(job)
        if submitted is None:
            executor = self._executor(job, self._folder)
            submitted = executor.submit(SubmittedCommand(job, self.sweep, self.is_pruned))
            write_json(self._note_of(job), {"job_id": submitted.job_id})
        else:
            say(f"{job.name}: is Slurm's job {submitted.job_id} from an earlier start")
        return SubmittedJob(job, submitted, self.cluster)

    def _submitted_earlier(self, job: Job) -> Any:
        """Returns the job that is still queued or running; None if there is none."""
        if self.cluster != SLURM:
            return None
        job_id = str(read_json_object(self._note_of(job)).get("job_id"))
        if not slurm.goes_on(job_id, job.name):
            return None
        tasks = range(job.num_nodes() * (job.devices() or 1))
        return self._submitit.SlurmJob(folder=self._folder, job_id=job_id, tasks=list(tasks))

    def _note_of(self, job: Job) -> Path:
        return self._folder / f"{job.name}.json"
