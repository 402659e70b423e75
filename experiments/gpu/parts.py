"""Runs the units of a part one after another in a process of their own, within limits of time.

A unit that crashes or hangs takes its process with it; the units after it run in a new one.
"""

import importlib
import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.1

Row = dict[str, Any]


@dataclass(frozen=True)
class Unit:
    """What gives one row of the results.

    Attributes:
        name: The row's name.
        module: The module whose function `measure` measures it.
        limit_s: The seconds after which it is killed.
        options: The arguments of `measure`.
    """

    name: str
    module: str
    limit_s: float
    options: dict[str, Any]


@dataclass
class Report:
    """What is known of a part; `as_json` is what is written.

    Attributes:
        limit_s: The part's limit.
        seconds: How long it has run.
        rows: The rows by unit. A unit may refine its row, so the last one counts.
        failures: The error of each unit that failed.
        not_measured: The units that no time was left for.
        unit_seconds: How long each unit took, with building the models and compiling.
    """

    limit_s: float
    seconds: float = 0.0
    rows: dict[str, Row] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    not_measured: list[str] = field(default_factory=list)
    unit_seconds: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


def run_part(
    units: list[Unit],
    limit_s: float,
    settings: dict[str, Any],
    log: Path,
    changed: Callable[[Report], None],
) -> Report:
    """Runs units in order until all are done or the limit is reached.

    Args:
        units: The units, the most important first.
        limit_s: The seconds after which the part ends.
        settings: Passed to each unit: the device, its rates, whether this is a smoke run.
        log: The file that the output of the processes is appended to.
        changed: Called after every row and every failure, to write the results.

    Returns:
        The report.
    """
    began = time.monotonic()
    report = Report(limit_s, not_measured=[unit.name for unit in units])

    def note() -> None:
        report.seconds = round(time.monotonic() - began, 1)
        changed(report)

    remaining = list(units)
    while remaining and time.monotonic() - began < limit_s:
        worker = Worker(remaining, settings, log)
        try:
            done = _follow(worker, remaining, report, began + limit_s, note)
        finally:
            worker.end()
        remaining = remaining[done:]
        note()
    note()
    return report


def _follow(
    worker: "Worker",
    units: list[Unit],
    report: Report,
    deadline: float,
    note: Callable[[], None],
) -> int:
    """Reads a worker's events until it ends or a limit is reached; returns the units finished."""
    done, began = 0, None
    while True:
        is_alive = worker.process.is_alive()  # before reading, so that no event is missed
        for event in worker.new_events():
            unit = event["unit"]
            if event["kind"] == "began":
                began = time.monotonic()
                report.not_measured.remove(unit)
            elif event["kind"] == "row":
                report.rows[unit] = event["row"]
            elif event["kind"] == "failed":
                report.failures[unit] = event["error"]
            else:
                report.unit_seconds[unit] = event["seconds"]
                done, began = done + 1, None
            note()
        if done == len(units):
            return done
        current = units[done]
        problem = None
        if not is_alive:
            problem = f"its process ended with code {worker.process.exitcode}"
        elif time.monotonic() > deadline:
            problem = "the part's limit of time was reached"
        elif began is not None and time.monotonic() - began > current.limit_s:
            problem = f"it took longer than {current.limit_s:.0f} s"
        if problem is not None:
            if began is not None:
                report.failures.setdefault(current.name, f"{problem}; see the log")
                return done + 1
            if is_alive or done:
                return done  # between two units
            # It would end in the same way again.
            report.not_measured.remove(current.name)
            report.failures[current.name] = f"{problem} before it began; see the log"
            return 1
        time.sleep(POLL_SECONDS)


class Worker:
    """A process that runs units and writes events, and its children.

    On a GPU it is a fresh process: CUDA cannot be used in a fork of a process that uses it. On the
    CPU it is a fork, which has the imports done.
    """

    def __init__(self, units: list[Unit], settings: dict[str, Any], log: Path) -> None:
        self.events = log.with_name(f"{log.stem}.events")
        self.events.unlink(missing_ok=True)
        self._offset = 0
        context: Any = multiprocessing.get_context("fork" if settings["smoke"] else "spawn")
        self.process = context.Process(target=work, args=(units, settings, log, self.events))
        self.process.start()

    def new_events(self) -> list[dict[str, Any]]:
        """Reads the events since the last call; a line that is not complete is left for later."""
        if not self.events.exists():
            return []
        with self.events.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        return [json.loads(line) for line in whole.splitlines()]

    def end(self) -> None:
        """Kills the process and its children, if they still run."""
        if self.process.is_alive():
            self.process.join(5 if self._is_done() else 0)
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self.process.kill()  # it has not made its group yet, or has ended
        self.process.join()
        self.events.unlink(missing_ok=True)

    def _is_done(self) -> bool:
        text = self.events.read_text() if self.events.exists() else ""
        return bool(text) and json.loads(text.splitlines()[-1])["kind"] == "ended"


def work(units: list[Unit], settings: dict[str, Any], log: Path, events: Path) -> None:
    """Runs units and writes an event a line; the body of a worker."""
    os.setpgid(0, 0)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    with events.open("a") as file:

        def tell(unit: Unit, kind: str, **more: Any) -> None:
            print(json.dumps({"unit": unit.name, "kind": kind, **more}), file=file, flush=True)

        for unit in units:
            print(f"== {unit.name}", flush=True)
            tell(unit, "began")
            began, is_broken = time.monotonic(), False
            try:
                module = importlib.import_module(unit.module)
                module.measure(
                    lambda row, u=unit: tell(u, "row", row=row), settings, **unit.options
                )
            except Exception as error:
                traceback.print_exc()
                is_broken = "CUDA error" in str(error)
                tell(unit, "failed", error=in_one_line(error))
            tell(unit, "ended", seconds=round(time.monotonic() - began, 1))
            sys.stdout.flush()
            if is_broken:
                # After such an error nothing else works in this process.
                os._exit(1)


def in_one_line(error: Exception) -> str:
    first = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {first[:300]}"
