"""Runs in children forked by a process of its own, in which torch and Lightning are imported.

Forking from the tests' process itself is not safe: it has threads by then.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.harness import cases, running
from tests.harness.cases import Case
from tests.harness.command_server import server
from tests.harness.warm import warm_up
from tests.programs.commands import child_environment

REPOSITORY = Path(__file__).resolve().parents[2]

ONE = Case("pretraining", workers=0, persistent=True, ranks=1, accumulation=2)
TWO_RANKS = Case("pretraining", workers=0, persistent=True, ranks=2, accumulation=1)


def results_of(module: str, folder: Path) -> dict[str, Any]:
    """Runs a module's `scenarios` by `main` below, and gives their results."""
    arguments, environment = [str(folder)], child_environment()
    finished = server().run(arguments, REPOSITORY, environment, seconds=900, module=module)
    assert finished.returncode == 0, finished.stderr[-3000:]
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return results


def without_onednn() -> None:
    """Lets the runs of this process multiply matrices as on a processor without oneDNN.

    oneDNN makes code for every new shape, which takes a quarter of such a short run. What resumes
    exactly with it is in `resumed_runs`.
    """
    torch.backends.mkldnn.set_flags(False)


class Lab:
    """Where a module's scenarios run.

    Args:
        folder: For data, runs and logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        cases.write_data(self.data)
        self.prepare(*cases.prepare_overrides(self.data))

    def prepare(self, *overrides: str) -> None:
        """Runs `clozekit prepare`."""

        def work() -> None:
            from clozekit.cli import main

            sys.argv = ["clozekit", "prepare", *overrides]
            main()

        log = self.folder / "prepare.log"
        assert running.fork_and_wait(work, log) == 0, log.read_text()

    def run(self, name: str, case: Case, *overrides: str, **options: Any) -> list[int]:
        """Trains in the folder `name`, where each rank's records go too; gives the exit codes."""
        (self.folder / name).mkdir(exist_ok=True)
        config = case.config(
            self.data,
            self.folder / name,
            "resume=auto",
            "+callbacks.recorder._target_=tests.harness.killing.Recorder",
            f"+callbacks.recorder.folder={self.folder / name}",
            *overrides,
        )
        codes, ended = running.run(config, case.ranks, self.log(name), **options)
        assert ended, f"{name}: a process did not end"
        return codes

    def log(self, name: str) -> Path:
        return self.folder / name / "log.txt"


def main(scenarios: Callable[[Lab], dict[str, Any]]) -> None:
    """Runs scenarios in the folder that the command line names, and writes what came out."""
    folder = Path(sys.argv[1])
    warm_up()
    results = scenarios(Lab(folder))
    (folder / "results.json").write_text(json.dumps(results))
