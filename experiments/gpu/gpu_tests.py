"""The tests that are marked `gpu`, with the outcome of each as soon as it is known."""

import os
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Recorder:
    """A plugin of pytest that counts outcomes and keeps the messages of failures."""

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self.tell = tell
        self.row: dict[str, Any] = {
            "passed": 0,
            "failed": 0,
            "skipped": 0,
            "errors": 0,
            "failures": {},
            "skips": {},
        }

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        # Whole programs take longest. Here they come last, in case that no time is left.
        items.sort(key=lambda item: "programs" in item.path.parts)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.items:  # with several processes, none here
            self._collected(len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self._collected(len(ids))

    def _collected(self, number: int) -> None:
        self.row["collected"] = number
        self.tell(self.row)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._count("errors", report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._count("failed" if report.when == "call" else "errors", report)
        elif report.skipped:
            self.row["skipped"] += 1
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else "xfail"
            self.row["skips"][report.nodeid] = reason.removeprefix("Skipped: ")
        elif report.when == "call":
            self.row["passed"] += 1
        self.tell(self.row)

    def _count(self, outcome: str, report: pytest.CollectReport | pytest.TestReport) -> None:
        # Now, because pytest prints it only at its end, which a limit of time may prevent.
        print(f"---- {report.nodeid}", report.longreprtext, sep="\n", flush=True)
        crash = getattr(report.longrepr, "reprcrash", None)
        message = crash.message if crash is not None else report.longreprtext.strip()
        self.row[outcome] += 1
        self.row["failures"][report.nodeid] = " ".join(message.split()[:40])
        self.tell(self.row)


def measure(tell: Callable[[dict[str, Any]], None], settings: Mapping[str, Any]) -> None:
    """Runs them. Only files that have such a test are collected, which takes seconds less."""
    os.chdir(ROOT)  # some start modules of the tests in processes of their own
    files = [str(path) for path in sorted(ROOT.glob("tests/**/test_*.py")) if _is_marked(path)]
    recorder = Recorder(tell)
    options = ["-m", "gpu", "-v", "-p", "no:cacheprovider", *_processes(settings["smoke"])]
    options += ["--continue-on-collection-errors", "--durations=10", f"--rootdir={ROOT}"]
    code = pytest.main([*options, *files], plugins=[recorder])
    sys.stdout.flush()
    tell(recorder.row | {"exit_code": int(code)})


def _processes(is_smoke: bool) -> list[str]:
    """Returns the options for processes that share the GPU: half of the cores, 8 at most."""
    if is_smoke or find_spec("xdist") is None:
        # The plugins of the caller's own tests must not take part in a run inside one of them.
        return ["-p", "no:xdist"]
    return [f"--numprocesses={max(1, min(8, (os.cpu_count() or 1) // 2))}", "--dist=worksteal"]


def _is_marked(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return "mark.gpu" in text
