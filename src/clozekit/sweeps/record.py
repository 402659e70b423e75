"""`sweep.json`, the record of a sweep: its command and the status of every job."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from clozekit import __version__
from clozekit.documents import read_json_object
from clozekit.errors import ConfigError, DataError
from clozekit.files import write_json
from clozekit.sweeps.job import Job, Status

FORMAT_VERSION = 1
FILE = "sweep.json"
LEFT_BY_HYDRA = "multirun.yaml"

NAME_OF_JOB = r"^[A-Za-z0-9][A-Za-z0-9_.+=-]*$"
"""Names of jobs are names of folders in the sweep's folder (see `naming.job_name`)."""

LONGEST_OF_JOB = 255


class SweepRecord:
    """The record of a sweep, written atomically at every change.

    When a sweep is run again, its jobs keep their order and their entries. Jobs of earlier runs
    that are not part of the current one stay in the record.

    Args:
        name: The sweep's name.
        folder: The sweep's folder.
        command: The command line.
        overrides: The overrides that all jobs share.
        sweep: The swept overrides.
        goal: The metric that the sweep optimizes and its direction, if they were set.

    Raises:
        ConfigError: The folder contains something else, or a record with a newer version.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        command: str,
        overrides: Sequence[str],
        sweep: Sequence[str],
        goal: tuple[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.file = folder / FILE
        earlier = self._read()
        jobs = {job["name"]: job for job in earlier.get("jobs", [])}
        for job in jobs.values():
            if job["status"] == Status.RUNNING:
                # The sweep that ran the job was killed before it could update the record.
                job["status"] = Status.INTERRUPTED
        self._jobs: dict[str, dict[str, Any]] = jobs
        self._head = {
            "format_version": FORMAT_VERSION,
            "clozekit": __version__,
            "name": name,
            "command": command,
            "overrides": list(overrides),
            "sweep": list(sweep),
            **({} if goal is None else {"metric": goal[0], "direction": goal[1]}),
            "started": earlier.get("started", _now()),
        }

    def _read(self) -> dict[str, Any]:
        if not self.file.is_file():
            if self.folder.exists() and not self.folder.is_dir():
                raise ConfigError(
                    f"{self.folder} is not a folder; use another name=… for the sweep"
                )
            others = {".lock", LEFT_BY_HYDRA}
            if self.folder.exists() and any(p.name not in others for p in self.folder.iterdir()):
                raise ConfigError(
                    f"{self.folder} already exists and is not a sweep; use another name=…"
                )
            return {}
        return read_record(self.folder)

    def add(self, jobs: Sequence[Job]) -> None:
        """Adds jobs that will be run; existing entries are unchanged."""
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
        """Records that a job was started."""
        noted = self._jobs[job.name]
        noted |= {"status": Status.RUNNING, "exit_code": None, "starts": noted["starts"] + 1}
        self.write()

    def ended(self, job: Job, status: Status, exit_code: int | None, seconds: float) -> None:
        """Records that a job has ended.

        Args:
            job: The job.
            status: Its status.
            exit_code: The exit code of its process; None if it had already finished.
            seconds: The duration of this start, which is added to that of earlier ones.
        """
        noted = self._jobs[job.name]
        if exit_code is not None:
            noted["exit_code"] = exit_code
        noted |= {"status": status, "seconds": round(noted["seconds"] + seconds, 1)}
        self.write()

    def write(self) -> None:
        """Writes the record."""
        self.folder.mkdir(parents=True, exist_ok=True)
        record = {**self._head, "changed": _now(), "jobs": list(self._jobs.values())}
        write_json(self.file, record)


class _StoredJob(BaseModel):
    """A job in a record, which may come from someone else."""

    name: str = Field(pattern=NAME_OF_JOB, max_length=LONGEST_OF_JOB)
    overrides: list[str]
    status: Status
    exit_code: int | None = None
    seconds: float = Field(0.0, ge=0)
    starts: int = Field(0, ge=0)


class _StoredRecord(BaseModel):
    """The parts of a record that are used."""

    format_version: int
    clozekit: str = ""
    command: str = ""
    started: str = ""
    metric: str | None = None
    direction: Literal["minimize", "maximize"] | None = None
    jobs: list[_StoredJob] = []


def read_record(folder: Path) -> dict[str, Any]:
    """Reads a sweep's record; returns an empty one if the folder has none.

    Raises:
        ConfigError: The record has a newer version.
        DataError: The record cannot be read, or the name of a job is not that of a folder in it.
    """
    file = folder / FILE
    record = read_json_object(file)
    if not record and not file.is_file():
        return {}
    version = record.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ConfigError(f"{file} was written by a newer clozekit, {record.get('clozekit')}")
    try:
        stored = _StoredRecord.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{file} is not the record of a sweep: {where}: {first['msg']}") from None
    read = stored.model_dump()
    for job in read["jobs"]:
        job["folder"] = str(folder / job["name"])
    return read


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
