"""Runs the jobs of a sweep concurrently until all have ended or a signal arrives."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from clozekit.exit_codes import INTERRUPTED, PREEMPTED
from clozekit.output.display import say
from clozekit.processes.signals import stop_signals
from clozekit.sweeps.job import Job, Status
from clozekit.sweeps.record import SweepRecord

FAILED = 1
SECONDS_BETWEEN_LOOKS = 0.1


class JobSource(Protocol):
    """The source of a sweep's jobs: a fixed grid, or a sampler that uses earlier results."""

    @property
    def total(self) -> int:
        """The total number of jobs."""

    def take(self) -> Job | None:
        """Returns the next job; None if there is none, or none until a running job has ended."""

    def ended(self, job: Job, status: Status) -> None:
        """Is called when a job has ended."""

    def answer(self, job: Job) -> None:
        """Answers the report of a job's validation, if it has written one."""

    def is_pruned(self, job: Job) -> bool:
        """Whether a job was pruned, so that it is not run again."""


class RunningJob(Protocol):
    """A job that was started."""

    def poll(self) -> int | None:
        """Returns the exit code; None while the job is running."""

    def stop(self, number: signal.Signals) -> None:
        """Makes the job save and exit."""

    def kill(self) -> None:
        """Kills the job."""


class Executor(Protocol):
    """Starts jobs."""

    n_jobs: int
    is_pruned: bool

    def check(self, job: Job) -> None:
        """Raises ConfigError if the job cannot run."""

    def start(self, job: Job, slot: int, say: Callable[[str], None]) -> RunningJob:
        """Starts a job; `slot` is its index among the concurrent jobs."""


class Grid:
    """A fixed list of jobs."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.total = len(jobs)
        self._jobs = iter(jobs)

    def take(self) -> Job | None:
        """Returns the next job."""
        return next(self._jobs, None)

    def ended(self, job: Job, status: Status) -> None:
        """Does nothing."""

    def answer(self, job: Job) -> None:
        """Does nothing."""

    def is_pruned(self, job: Job) -> bool:
        """Returns False."""
        return False


@dataclass
class _Slot:
    job: Job
    number: int
    handle: RunningJob
    began: float


class SweepRun:
    """Runs a sweep's jobs once.

    Jobs that have already finished are not run again. A failed job is reported and does not stop
    the others, unless `fail_fast` is set. After SIGINT, SIGTERM or SIGHUP no more jobs are started,
    and the running jobs receive a signal, so that they save. The third signal kills them.

    Args:
        record: The sweep's record, which is updated when jobs start and end.
        executor: Starts jobs.
        fail_fast: Whether the first failed job ends the sweep. The running jobs are then told to
            stop, as Ctrl-C does.

    Attributes:
        statuses: The status of each job, by name.
        stopped_by: The first signal that arrived, if any.
        is_cut_short: Whether a failed job has ended the sweep.
    """

    def __init__(self, record: SweepRecord, executor: Executor, fail_fast: bool = False) -> None:
        self.record = record
        self.executor = executor
        self.fail_fast = fail_fast
        self.is_cut_short = False
        self.statuses: dict[str, Status] = {}
        self.stopped_by: signal.Signals | None = None
        self._signals = 0
        self._heeded = 0
        self._slots: dict[int, _Slot] = {}
        self._taken = 0

    def run(self, source: JobSource) -> None:
        """Runs jobs until there are no more."""
        with self._watching_signals():
            while True:
                self._fill(source)
                if not self._slots:
                    break
                time.sleep(SECONDS_BETWEEN_LOOKS)
                self._pass_signals_on()
                for place, slot in list(self._slots.items()):
                    source.answer(slot.job)
                    exit_code = slot.handle.poll()
                    if exit_code is not None:
                        del self._slots[place]
                        self._end(slot, exit_code, source)

    @property
    def exit_code(self) -> int:
        """The exit code of the sweep's process."""
        if self.stopped_by is not None:
            return INTERRUPTED if self.stopped_by == signal.SIGINT else PREEMPTED
        if Status.FAILED in self.statuses.values():
            return FAILED
        return PREEMPTED if Status.INTERRUPTED in self.statuses.values() else 0

    @property
    def is_stopping(self) -> bool:
        """Whether no more jobs are started."""
        return self.stopped_by is not None or self.is_cut_short

    def say_how_it_ended(self) -> None:
        """Prints one line with the status of all jobs."""
        parts = []
        for status in (Status.FINISHED, Status.PRUNED, Status.FAILED, Status.INTERRUPTED):
            names = [name for name, found in self.statuses.items() if found == status]
            if names:
                listed = "" if status == Status.FINISHED else f" ({', '.join(names)})"
                parts.append(f"{len(names)} {status}{listed}")
        summary = "; ".join(parts) or "no jobs were run"
        again = "; run the same command again to continue" if self.exit_code else ""
        say(f"{self.record.folder}: {summary}{again}")

    def _fill(self, source: JobSource) -> None:
        for place in range(self.executor.n_jobs):
            while place not in self._slots and not self.is_stopping:
                job = source.take()
                if job is None:
                    return
                self._taken += 1
                self._begin(job, place, source)

    def _begin(self, job: Job, place: int, source: JobSource) -> None:
        number, total = self._taken, source.total

        def note(line: str) -> None:
            say(f"[{number}/{total}] {line}")

        self.record.add([job])
        if job.results() is not None:
            note(f"{job.name}: already finished{_metric(job)}")
            self._note(job, Status.FINISHED, None, 0.0, source)
            return
        if source.is_pruned(job):
            note(f"{job.name}: already pruned")
            self._note(job, Status.PRUNED, None, 0.0, source)
            return
        note(f"{job.name}: started, output in {job.log_file}")
        handle = self.executor.start(job, place, note)
        self.record.started(job)
        self._slots[place] = _Slot(job, number, handle, time.monotonic())

    def _end(self, slot: _Slot, exit_code: int, source: JobSource) -> None:
        job, seconds = slot.job, time.monotonic() - slot.began
        status = job.status_after(exit_code)
        line = f"[{slot.number}/{source.total}] {job.name}: {status}"
        if status == Status.FINISHED:
            line += f" in {seconds:.0f} s{_metric(job)}"
        elif status == Status.PRUNED:
            line += f" after {seconds:.0f} s"
        else:
            line += f" with exit code {exit_code} after {seconds:.0f} s"
        if status == Status.FAILED:
            line += f": {_last_line(job)}"
        say(line)
        self._note(job, status, exit_code, seconds, source)
        if status == Status.FAILED and self.fail_fast and not self.is_stopping:
            self._cut_short(job)

    def _cut_short(self, failed: Job) -> None:
        self.is_cut_short = True
        others = "; the running jobs will save and exit" if self._slots else ""
        say(f"hydra.launcher.fail_fast=true: {failed.name} has failed, so the sweep ends{others}")
        for slot in self._slots.values():
            slot.handle.stop(signal.SIGINT)

    def _note(
        self, job: Job, status: Status, exit_code: int | None, seconds: float, source: JobSource
    ) -> None:
        self.statuses[job.name] = status
        self.record.ended(job, status, exit_code, seconds)
        source.ended(job, status)

    @contextmanager
    def _watching_signals(self) -> Iterator[None]:
        """Counts signals. A handler that did more could interrupt the writing of the record."""

        def note(number: int, frame: FrameType | None) -> None:
            self.stopped_by = self.stopped_by or signal.Signals(number)
            self._signals += 1

        previous: dict[signal.Signals, Any] = {
            number: signal.signal(number, note) for number in (signal.SIGINT, *stop_signals())
        }
        try:
            yield
        except BaseException:
            for slot in self._slots.values():
                slot.handle.stop(signal.SIGTERM)
            raise
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _pass_signals_on(self) -> None:
        while self._heeded < self._signals:
            self._heeded += 1
            assert self.stopped_by is not None
            running = [slot.handle for slot in self._slots.values()]
            if self._heeded == 1:
                say(f"{self.stopped_by.name}: the running jobs will save and exit")
            for handle in running:
                if self._heeded < 3:
                    handle.stop(self._signal_for_jobs())
                else:
                    handle.kill()

    def _signal_for_jobs(self) -> signal.Signals:
        """Returns the signal to pass on: a job may ignore SIGHUP."""
        return signal.SIGINT if self.stopped_by == signal.SIGINT else signal.SIGTERM


def _metric(job: Job) -> str:
    monitored = job.monitored()
    return "" if monitored is None else f", {monitored[0]} {monitored[1]:.4g}"


def _last_line(job: Job) -> str:
    lines = job.log_file.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")
