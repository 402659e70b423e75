"""Hydra launchers that run each job of a sweep in a separate process.

Every Hydra application in the environment imports this module at startup. Other modules are
therefore imported only where they are needed. Nothing is added to the `ConfigStore`, which all
applications share: the launchers' configurations are files in `conf/hydra/launcher/`, which only
clozekit finds.
"""

import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from clozekit.sweeps.job import Job
    from clozekit.sweeps.running import Executor, JobSource

GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


class SweepLauncher(Launcher):
    """The base of both launchers. It checks a sweep's jobs, runs them and records the results.

    All jobs of a grid are checked in `setup`, before anything is written or started.
    """

    def __init__(self, n_jobs: int, fail_fast: bool) -> None:
        self.n_jobs = n_jobs
        self.fail_fast = fail_fast

    def make_executor(self, sweep: str, folder: Path) -> "Executor":
        """Makes the executor that starts the jobs."""
        raise NotImplementedError

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Checks the sweep and opens its record.

        Raises:
            UserError: A job is invalid, or the sweep's folder contains something else.
        """
        from clozekit.command import VerbTask
        from clozekit.config.sweeps import check_launcher
        from clozekit.errors import ConfigError
        from clozekit.output.standard_streams import keep_going_without_output
        from clozekit.runs.lock import Lock
        from clozekit.sweeps.record import SweepRecord
        from clozekit.sweeps.running import SweepRun
        from hydra_plugins._clozekit_jobs import JobMaker, command_line

        keep_going_without_output()
        assert isinstance(task_function, VerbTask), "this launcher only works with clozekit"
        task_function.is_composed = True
        check_launcher(config.hydra.launcher)
        self.verb_task = task_function
        self.made: dict[tuple[str, ...], Job] = {}
        self.jobs: JobMaker = JobMaker(hydra_context, config)
        self.executor: Executor = self.make_executor(self.jobs.name, self.jobs.folder)
        sweeper = config.hydra.sweeper
        metric, direction = sweeper.get("metric"), sweeper.get("direction")
        goal = (str(metric), str(direction)) if metric and direction else None
        asked = (command_line(), self.jobs.fixed, self.jobs.swept_as_given, goal)
        SweepRecord(self.jobs.name, self.jobs.folder, *asked)  # checks the folder early
        planned: list[Job] = []
        if config.hydra.sweeper._target_ == GRID:
            planned = [self.make_job(overrides) for overrides in self.jobs.grid()]
        lock = Lock(self.jobs.folder / ".lock")
        if not lock.acquire():
            raise ConfigError(f"the sweep {self.jobs.folder} is already run by {lock.holder()}")
        self.verb_task.cleanup.callback(lock.release)
        lock.sign(os.getpid())
        # Read again with the lock held, because another process may have written it before.
        record = SweepRecord(self.jobs.name, self.jobs.folder, *asked)
        record.add(planned)
        self.run: SweepRun = SweepRun(record, self.executor, self.fail_fast)
        self.is_reported = False

    def make_job(self, overrides: Sequence[str]) -> "Job":
        """Makes a job, and checks its configuration, its folder, and whether it can run.

        Raises:
            UserError: The job cannot run.
        """
        from clozekit.errors import ConfigError
        from clozekit.sweeps.job import InvalidJobError

        known = tuple(overrides)
        if known not in self.made:
            try:
                job = self.jobs.make(overrides)
            except ConfigError as error:
                raise InvalidJobError(str(error)) from error
            job.check_folder()
            self.executor.check(job)
            self.made[known] = job
        return self.made[known]

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Runs a sweeper's jobs; a job's return value is its monitored metric."""
        from clozekit.sweeps.running import Grid

        jobs = [self.make_job(overrides) for overrides in job_overrides]
        self.run_jobs(Grid(jobs))
        return [_returned(job) for job in jobs]

    def run_jobs(self, source: "JobSource") -> None:
        """Runs the jobs of a source; exits the process if a signal or a failed job stopped them.

        Raises:
            SystemExit: A signal stopped the sweep, or a failed job with `fail_fast`.
        """
        if not self.is_reported:
            # Report once, even if a sweeper has several batches of jobs, and after its own output.
            self.verb_task.cleanup.callback(_report, self.jobs.folder)
            self.is_reported = True
        self.run.run(source)
        self.verb_task.exit_code = self.run.exit_code
        self.run.say_how_it_ended()
        if self.run.is_stopping:
            raise SystemExit(self.run.exit_code)


def _report(folder: Path) -> None:
    """Prints the report of the sweep; a failure to do so does not make the sweep fail."""
    from clozekit.config.report import ReportConfig
    from clozekit.output.display import say
    from clozekit.report import report

    try:
        report(ReportConfig(folder=folder))
    except Exception as error:
        say(f"the report failed: {error}", file=sys.stderr)


def _returned(job: "Job") -> JobReturn:
    """Returns the result for Hydra's sweepers; failed jobs are already reported and do not stop."""
    monitored = job.monitored()
    returned = JobReturn(overrides=list(job.overrides), status=JobStatus.COMPLETED)
    returned.return_value = math.nan if monitored is None else monitored[1]
    return returned


class ProcessesLauncher(SweepLauncher):
    """Runs jobs as processes on this machine. On Linux they are forked, so that they start fast.

    Args:
        n_jobs: The number of concurrent jobs.
        fork_server: Whether jobs are forked from a process that did the imports, if possible.
        fail_fast: Whether the first failed job ends the sweep.
    """

    def __init__(self, n_jobs: int, fork_server: bool, fail_fast: bool) -> None:
        super().__init__(n_jobs, fail_fast)
        self.fork_server = fork_server

    def make_executor(self, sweep: str, folder: Path) -> "Executor":
        """Makes the executor that starts the jobs."""
        from clozekit.sweeps.processes import LocalExecutor

        executor = LocalExecutor(sweep, self.n_jobs, self.fork_server)
        self.verb_task.cleanup.callback(executor.close)
        return executor


class SubmititLauncher(SweepLauncher):
    """Submits jobs with submitit and waits for them."""

    def __init__(
        self,
        cluster: str,
        n_jobs: int,
        timeout_min: int,
        parameters: DictConfig,
        fail_fast: bool,
    ) -> None:
        super().__init__(n_jobs, fail_fast)
        self.cluster = cluster
        self.timeout_min = timeout_min
        self.parameters = {str(key): value for key, value in parameters.items()}

    def make_executor(self, sweep: str, folder: Path) -> "Executor":
        """Makes the executor that starts the jobs."""
        from clozekit.sweeps.submission import SubmititExecutor

        return SubmititExecutor(
            sweep, folder, self.n_jobs, self.cluster, self.timeout_min, self.parameters
        )
