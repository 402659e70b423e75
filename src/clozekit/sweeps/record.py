"""`sweep.json`, the record of a sweep: what was asked for, and what became of every job."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clozekit import __version__
from clozekit.errors import ConfigError
from clozekit.files import write_json
from clozekit.sweeps.job import Job, Status

FORMAT_VERSION = 1
FILE = "sweep.json"
LEFT_BY_HYDRA = "multirun.yaml"


class SweepRecord:
    """The record of a sweep, written whole at every change.

    A job keeps its place and its record over all the times that its sweep is run. Jobs of earlier
    times that are not asked for now stay in it.

    Args:
        name: The sweep's name.
        folder: Its folder.
        command: The command line.
        overrides: Those that are the same for all jobs.
        sweep: Those that are swept.

    Raises:
        ConfigError: The folder holds something else, or a newer version's record.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        command: str,
        overrides: Sequence[str],
        sweep: Sequence[str],
    ) -> None:
        self.folder = folder
        self.file = folder / FILE
        earlier = self._read()
        jobs = {job["name"]: job for job in earlier.get("jobs", [])}
        for job in jobs.values():
            if job["status"] == Status.RUNNING:
                # The sweep that ran it was killed, or it would have written what became of it.
                job["status"] = Status.INTERRUPTED
        self._jobs: dict[str, dict[str, Any]] = jobs
        self._head = {
            "format_version": FORMAT_VERSION,
            "clozekit": __version__,
            "name": name,
            "command": command,
            "overrides": list(overrides),
            "sweep": list(sweep),
            "started": earlier.get("started", _now()),
        }

    def _read(self) -> dict[str, Any]:
        if not self.file.is_file():
            if self.folder.exists() and not self.folder.is_dir():
                raise ConfigError(f"{self.folder} is no folder: give the sweep another name=…")
            others = {".lock", LEFT_BY_HYDRA}
            if self.folder.exists() and any(p.name not in others for p in self.folder.iterdir()):
                raise ConfigError(
                    f"{self.folder} is there already, and is no sweep: give another name=…"
                )
            return {}
        return read_record(self.folder)

    def add(self, jobs: Sequence[Job]) -> None:
        """Notes jobs that will be run; those that are known stay as they are."""
        for job in jobs:
            self._jobs.setdefault(
                job.name,
                {
                    "name": job.name,
                    "folder": str(job.folder),
                    "overrides": list(job.overrides),
                    "status": Status.WAITING,
                    "exit_code": None,
                    "seconds": 0.0,
                    "starts": 0,
                },
            )
        self.write()

    def started(self, job: Job) -> None:
        """Notes that a job runs."""
        noted = self._jobs[job.name]
        noted |= {"status": Status.RUNNING, "exit_code": None, "starts": noted["starts"] + 1}
        self.write()

    def ended(self, job: Job, status: Status, exit_code: int | None, seconds: float) -> None:
        """Notes what became of a job.

        Args:
            job: The job.
            status: What became of it.
            exit_code: Its process's; None where it had finished before.
            seconds: How long it took this time, which is added to earlier times.
        """
        noted = self._jobs[job.name]
        if exit_code is not None:
            noted["exit_code"] = exit_code
        noted |= {"status": status, "seconds": round(noted["seconds"] + seconds, 1)}
        self.write()

    def write(self) -> None:
        """Writes the file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        record = {**self._head, "changed": _now(), "jobs": list(self._jobs.values())}
        write_json(self.file, record)


def read_record(folder: Path) -> dict[str, Any]:
    """Reads a sweep's record; it is empty where the folder has none.

    Raises:
        ConfigError: It is a newer version's.
    """
    file = folder / FILE
    if not file.is_file():
        return {}
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if record["format_version"] > FORMAT_VERSION:
        raise ConfigError(f"{file} is of a newer clozekit, {record['clozekit']}")
    return record


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
