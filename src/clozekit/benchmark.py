"""`clozekit benchmark`: fine-tunes checkpoints on a suite of tasks, and compares them."""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clozekit.benchmarks.checkpoints import read_checkpoints
from clozekit.benchmarks.jobs import BenchmarkJobs
from clozekit.benchmarks.planning import PlannedTask, check_jobs, plan_tasks
from clozekit.benchmarks.record import (
    JOBS,
    BenchmarkRecord,
    CheckpointRecord,
    open_folder,
    write_benchmark,
)
from clozekit.benchmarks.report import report_benchmark
from clozekit.config.benchmark import BenchmarkConfig
from clozekit.errors import ConfigError
from clozekit.exit_codes import FAILED
from clozekit.runs.lock import Lock
from clozekit.sweeps.executors import make_executor
from clozekit.sweeps.processes import LocalExecutor
from clozekit.sweeps.record import SweepRecord
from clozekit.sweeps.running import Executor, SweepRun


def benchmark(config: BenchmarkConfig, suite: str, launcher: Mapping[str, Any]) -> int:
    """Runs tasks x rates x seeds of every checkpoint, prints the table and writes the results.

    A benchmark that was killed or interrupted is continued by the same command: finished jobs are
    not run again, and interrupted ones resume from their checkpoints.

    Args:
        config: The configuration.
        suite: The name of the suite.
        launcher: The keys of `hydra.launcher`.

    Returns:
        The exit code.

    Raises:
        UserError: A job cannot be run, or the folder has something else in it.
    """
    checkpoints = read_checkpoints(config.all_checkpoints())
    labels = "-".join(checkpoint.label for checkpoint in checkpoints)
    name = config.name or f"benchmark-{suite.replace('/', '-')}-{labels}"[:120]
    folder = config.runs_dir / name
    tasks = plan_tasks(config, name)
    record = _record(config, name, suite, checkpoints, tasks)
    open_folder(folder, record)
    jobs = BenchmarkJobs(folder, record, tasks, config.keep_checkpoints)
    executor = make_executor(launcher, name, folder / JOBS)
    try:
        check_jobs(jobs.first)
        jobs.check_dependents()
        for job in jobs.first:
            executor.check(job)
        return _run(folder, record, jobs, executor, fail_fast=bool(launcher["fail_fast"]))
    finally:
        if isinstance(executor, LocalExecutor):
            executor.close()


def _record(
    config: BenchmarkConfig,
    name: str,
    suite: str,
    checkpoints: list[CheckpointRecord],
    tasks: list[PlannedTask],
) -> BenchmarkRecord:
    planned = {task.record.name: task.record for task in tasks}
    in_order = [task for task in config.suite.tasks if task in planned]
    return BenchmarkRecord(
        name=name,
        suite=suite,
        command=shlex.join(["clozekit", "benchmark", *sys.argv[2:]]),
        checkpoints=tuple(checkpoints),
        tasks=tuple(planned[task] for task in in_order),
        seeds=config.all_seeds(),
        rate_seeds=config.rate_seeds,
    )


def _run(
    folder: Path,
    record: BenchmarkRecord,
    jobs: BenchmarkJobs,
    executor: Executor,
    *,
    fail_fast: bool,
) -> int:
    """Runs the jobs with the folder locked."""
    SweepRecord(record.name, folder / JOBS, record.command, (), ())  # checks the folder early
    lock = Lock(folder / ".lock")
    if not lock.acquire():
        raise ConfigError(f"the benchmark {folder} is already run by {lock.holder()}")
    try:
        lock.sign(os.getpid())
        # Read again with the lock held, because another process may have written it before.
        record = open_folder(folder, record)
        write_benchmark(folder, record)
        noted = SweepRecord(record.name, folder / JOBS, record.command, (), ())
        noted.add(jobs.first)
        run = SweepRun(noted, executor, fail_fast)
        run.run(jobs)
        run.say_how_it_ended()
        results = report_benchmark(folder, record)
    finally:
        lock.release()
    return run.exit_code or (0 if results.is_complete else FAILED)
