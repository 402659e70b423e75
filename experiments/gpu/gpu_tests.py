"""The tests that are marked `gpu`, with the outcome of each as soon as it is known."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Recorder:
    """A plugin of pytest that counts outcomes and keeps the names of failures."""

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self.tell = tell
        self.row: dict[str, Any] = {
            "passed": 0,
            "failed": 0,
            "skipped": 0,
            "errors": 0,
            "failures": [],
            "skips": {},
        }

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        # Whole programs take longest. Here they come last, in case that no time is left.
        items.sort(key=lambda item: "programs" in item.path.parts)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.row["collected"] = len(session.items)
        self.tell(self.row)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._count("errors", report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._count("failed" if report.when == "call" else "errors", report.nodeid)
        elif report.skipped:
            self.row["skipped"] += 1
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else "xfail"
            self.row["skips"][report.nodeid] = reason.removeprefix("Skipped: ")
        elif report.when == "call":
            self.row["passed"] += 1
        self.tell(self.row)

    def _count(self, outcome: str, name: str) -> None:
        self.row[outcome] += 1
        self.row["failures"].append(name)
        self.tell(self.row)


def measure(tell: Callable[[dict[str, Any]], None], settings: Mapping[str, Any]) -> None:
    """Runs them. Only files that have such a test are collected, which takes seconds less."""
    os.chdir(ROOT)  # some start modules of the tests in processes of their own
    files = [str(path) for path in sorted(ROOT.glob("tests/**/test_*.py")) if _is_marked(path)]
    recorder = Recorder(tell)
    # The plugins of the caller's own tests must not take part in a run inside one of them.
    options = ["-m", "gpu", "-v", "-p", "no:xdist", "-p", "no:cacheprovider"]
    options += ["--continue-on-collection-errors", f"--rootdir={ROOT}"]
    code = pytest.main([*options, *files], plugins=[recorder])
    sys.stdout.flush()
    tell(recorder.row | {"exit_code": int(code)})


def _is_marked(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return "mark.gpu" in text
