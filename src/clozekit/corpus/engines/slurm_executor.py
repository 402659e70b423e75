"""Runs the tasks of a stage in jobs of Slurm, which are submitted with submitit.

All jobs of a corpus have the same name, which follows from its folder. So the jobs of a process
that was killed are found again, even if it was killed while it submitted them.
"""

import hashlib
import io
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clozekit.config.executor import SlurmExecutorConfig
from clozekit.corpus.engines.bundles import Bundles, bundle_size, last_line, run_bundle
from clozekit.corpus.engines.stage import Stage
from clozekit.corpus.work_folder import Work
from clozekit.errors import ConfigError, ExecutorError
from clozekit.processes import slurm

SECONDS_BETWEEN_QUESTIONS = 10.0
"""Between two questions to Slurm; the stage's files are looked at more often."""
SECONDS_BETWEEN_SUBMISSIONS = 30.0
"""Before another attempt, where Slurm refuses a job because many are queued."""
SECONDS_TO_END = 30.0
"""For a job whose tasks are done, before it is cancelled."""
SECONDS_TO_CANCEL = 180.0
"""Slurm's defaults let a cancelled process live 30 s, and a node 60 s more to kill it."""

_LONGEST_PAUSE = 5.0
_FOLDER = "slurm"
_RECORD = "slurm.json"
_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS")
_HELD = "launch failed requeued held"
_HOPELESS = (
    *("PartitionTimeLimit", "PartitionNodeLimit", "BadConstraints", "DependencyNeverSatisfied"),
    *("InvalidAccount", "InvalidQOS", "AccountNotAllowed", "QOSNotAllowed", "PartitionInactive"),
)
"""Reasons for which Slurm queues a job that it will not start as it is."""


def check_installed() -> None:
    """Checks that submitit and Slurm's commands are there.

    Raises:
        ConfigError: They are not.
    """
    if find_spec("submitit") is None:
        raise ConfigError("executor=slurm requires submitit: run pip install 'clozekit[slurm]'")
    for command in ("sbatch", "squeue", "scancel"):
        if shutil.which(command) is None:
            raise ConfigError(
                f"executor=slurm: there is no {command} here; run it on a machine of the cluster"
            )


@contextmanager
def ending_jobs(work: Work) -> Iterator[None]:
    """Ends the jobs of the corpus at the end: at once, unless all their tasks are done."""
    # A job would run a function that someone else has left for a job of its number.
    shutil.rmtree(work.folder / _FOLDER, ignore_errors=True)
    try:
        yield
    except BaseException:
        end_jobs(work)
        raise
    end_jobs(work, SECONDS_TO_END)


def end_jobs(work: Work, seconds: float = 0) -> None:
    """Cancels the jobs that may be queued or running for a corpus, and waits for their end.

    Args:
        work: The work folder.
        seconds: The time for the jobs to end by themselves.

    Raises:
        ExecutorError: Slurm does not answer, or they do not end.
    """
    record = work.folder / _RECORD
    if not record.exists():
        return
    name, began, is_cancelled = job_name(work), time.monotonic(), False
    if shutil.which("squeue") is None:
        raise ExecutorError(
            f"{work.folder}: Slurm's jobs named {name} of an earlier start may not have ended, and "
            f"there is no squeue here; cancel them, and remove {record}"
        )
    while True:
        jobs = slurm.jobs_named(name)
        waited = time.monotonic() - began
        if jobs == {}:
            record.unlink(missing_ok=True)
            return
        if waited > seconds + SECONDS_TO_CANCEL:
            known = ", ".join(jobs) if jobs else f"named {name}"
            raise ExecutorError(
                f"{work.folder}: Slurm's jobs {known} of an earlier start have not ended; remove "
                f"{record} if they have"
            )
        if jobs and waited >= seconds and not is_cancelled:
            is_cancelled = slurm.cancel_named(name)
        time.sleep(min(1.0, 0.1 + waited / 10))


def run_stage(stage: Stage, numbers: Sequence[int], config: SlurmExecutorConfig) -> None:
    """Runs tasks in jobs, and waits until all are done or one of them fails.

    Args:
        stage: The stage.
        numbers: The numbers of the tasks.
        config: The options of the jobs.

    Raises:
        ExecutorError: Slurm refuses the jobs.
        WorkerError: The jobs of a task ended again and again.
        Exception: A task failed with it.
    """
    size = bundle_size(len(numbers), config.tasks_per_job)
    bundles = Bundles.of(stage, numbers, size, stage.work.config.workers)
    jobs = _Jobs(bundles, config)
    while True:
        began = time.monotonic()
        if bundles.look():
            return
        jobs.submit()
        jobs.look_for_ended()
        # A large stage is looked at less often.
        time.sleep(min(0.2 + 20 * (time.monotonic() - began), _LONGEST_PAUSE))


def job_name(work: Work) -> str:
    """Returns the name of all jobs of a corpus."""
    name = work.config.out.rstrip("/").rpartition("/")[2]
    readable = re.sub(r"[^A-Za-z0-9-]", "-", name)
    digest = hashlib.sha256(os.fsencode(work.folder.resolve())).hexdigest()
    return f"clozekit-{readable}-{digest[:12]}"


class _Jobs:
    """The jobs of a stage."""

    def __init__(self, bundles: Bundles, config: SlurmExecutorConfig) -> None:
        self._bundles = bundles
        self._config = config
        self._work = bundles.stage.work
        self._name = job_name(self._work)
        self._logs: dict[str, Path] = {}
        self._last_question = time.monotonic()
        self._next_submission = time.monotonic()

    def submit(self) -> None:
        """Submits the bundles that may run now, as a job array."""
        taken = self._bundles.take() if time.monotonic() >= self._next_submission else []
        if not taken:
            return
        record = self._work.folder / _RECORD
        is_first = not record.exists()
        self._work.write_json(_RECORD, {"job_name": self._name})
        stage, cores = self._bundles.stage, self._config.cpus_per_task
        task = partial(_run_in_job, partial(run_bundle, stage, cores, str(Path.cwd())))
        try:
            # submitit prints what sbatch says.
            with _outside_of_jobs(), redirect_stderr(io.StringIO()):
                jobs = self._executor(len(taken)).map_array(task, taken)
        except (RuntimeError, ValueError) as error:  # submitit's errors, for what sbatch says
            self._bundles.waiting.extendleft(reversed(taken))
            reason = "; ".join(line.removeprefix("sbatch: error: ") for line in _lines(error))
            if is_first and "timed out" not in reason:
                record.unlink()
            if not self._bundles.running:
                raise ExecutorError(f"executor=slurm: sbatch failed: {reason}") from error
            self._next_submission = time.monotonic() + SECONDS_BETWEEN_SUBMISSIONS
            return
        for job, bundle in zip(jobs, taken, strict=True):
            self._bundles.running[job.job_id] = bundle
            self._logs[job.job_id] = job.paths.stdout
        # submitit leaves symbolic links, which a work folder may not have.
        for path in (self._work.folder / _FOLDER).glob(".submission_file_*"):
            path.unlink()

    def look_for_ended(self) -> None:
        """Asks Slurm which jobs it still has, now and then."""
        now = time.monotonic()
        if not self._bundles.running or now - self._last_question < SECONDS_BETWEEN_QUESTIONS:
            return
        self._last_question = now
        jobs = slurm.jobs_named(self._name)
        if jobs is None:
            return
        for job, state in jobs.items():
            if state.reason in _HOPELESS:
                raise ExecutorError(
                    f"executor=slurm: job {job} cannot start, because Slurm says {state.reason}; "
                    "check executor.partition, time, qos, account and sbatch"
                )
        held = [job for job, state in jobs.items() if state.reason == _HELD]
        if held:
            slurm.cancel(held)
        ended = [job for job in self._bundles.running if job not in jobs or job in held]
        if ended:
            self._bundles.ended(ended, self._describe)

    def _describe(self, job: str) -> str:
        log = self._logs[job]
        line = last_line(log)
        if line is None:
            return (
                f"Slurm's job {job}, which left no log {log}; do all nodes share the folder "
                f"{self._work.folder}?"
            )
        return f"Slurm's job {job}, whose log {log} ends with: {line}"

    def _executor(self, num_jobs: int) -> Any:
        import submitit

        config = self._config
        memory = config.mem_per_cpu_gb
        options = {name.replace("_", "-"): value for name, value in config.sbatch.items()}
        executor = submitit.SlurmExecutor(self._work.folder / _FOLDER)
        executor.update_parameters(
            job_name=self._name,
            partition=config.partition,
            time=config.time,
            cpus_per_task=config.cpus_per_task,
            mem_per_cpu=None if memory is None else f"{max(1, round(memory * 1024))}M",
            qos=config.qos,
            account=config.account,
            array_parallelism=num_jobs,
            stderr_to_stdout=True,
            use_srun=False,  # so that this process may itself be in a job
            additional_parameters={k: v for k, v in options.items() if v is not False},
        )
        return executor


def _run_in_job(task: Any, numbers: Sequence[int]) -> None:
    """Runs in a job: does the tasks of a bundle."""
    # At preemption, the job has a grace time, and is then queued again.
    signal.signal(signal.SIGTERM, _end_if_cancelled)
    # submitit's signal before the end of its time. The next job goes on.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    task(numbers)


def _end_if_cancelled(*_: object) -> None:
    if not slurm.was_preempted(os.environ):
        raise SystemExit(128 + signal.SIGTERM)


def _lines(error: Exception) -> list[str]:
    return [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]


@contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Hides that this process is in a job itself, which a job that it submits would inherit."""
    hidden = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("SLURM_") and name not in _KEPT
    }
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)
