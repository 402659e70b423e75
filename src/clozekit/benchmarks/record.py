"""`benchmark.json`: the tasks, checkpoints and seeds of a benchmark, from which it is reported."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clozekit import __version__
from clozekit.config.benchmark import NAME_OF_TASK
from clozekit.config.scores import Score
from clozekit.documents import read_json_object
from clozekit.errors import ConfigError, DataError
from clozekit.files import write_json

FORMAT_VERSION = 1
FILE = "benchmark.json"
JOBS = "jobs"
"""The folder in the benchmark's folder with the folders of all jobs, which is that of a sweep."""

_NAME = rf"^{NAME_OF_TASK.pattern}$"


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True)


class TaskRecord(_Stored):
    """A task.

    Attributes:
        name: Its name in the suite.
        metric: The metric, without the split.
        mode: Whether the smallest (`min`) or largest (`max`) value is best.
        factor: The score is the metric times this factor.
        is_points: Whether the score is in points, so that it is part of the average.
        split: The split of the reported score.
        rates: The learning rates that are tried.
        start_from: The task whose runs this one starts from, if any.
        files: The checksums of its local files by path.
    """

    name: str = Field(pattern=_NAME)
    metric: str
    mode: Literal["min", "max"]
    factor: float
    is_points: bool
    split: Literal["validation", "test"]
    rates: tuple[float, ...]
    start_from: str | None = None
    files: dict[str, str] = {}

    @property
    def score(self) -> Score:
        """How the metric is shown."""
        return Score(self.mode, self.factor, self.is_points)


class CheckpointRecord(_Stored):
    """A checkpoint.

    Attributes:
        label: Its name in tables and in the names of jobs.
        path: The checkpoint as given.
        checksum: The checksum of its weights, or the revision on the hub.
        settings: The checksum of the configuration and tokenizer in a folder of transformers; empty
            for other checkpoints, which are one file or a revision.
    """

    label: str = Field(pattern=_NAME)
    path: str
    checksum: str
    settings: str = ""


class BenchmarkRecord(_Stored):
    """A benchmark.

    Attributes:
        format_version: The version of this format.
        clozekit: The version of clozekit.
        name: The benchmark's name.
        suite: The name of its suite.
        command: Its command line.
        started: When it was started first.
        checkpoints: The checkpoints; all others are compared with the first one.
        tasks: The tasks, in the order of the table.
        seeds: The seeds.
        rate_seeds: How many of the seeds, from the first, try all rates; None for all.
    """

    format_version: int = FORMAT_VERSION
    clozekit: str = __version__
    name: str
    suite: str
    command: str = ""
    started: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    checkpoints: tuple[CheckpointRecord, ...] = Field(min_length=1)
    tasks: tuple[TaskRecord, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(min_length=1)
    rate_seeds: int | None = Field(default=None, ge=1)

    @property
    def tuning_seeds(self) -> tuple[int, ...]:
        """The seeds that try all rates."""
        return self.seeds[: self.rate_seeds]

    @property
    def other_seeds(self) -> tuple[int, ...]:
        """The seeds that run with the best rate only."""
        return self.seeds[len(self.tuning_seeds) :]

    def num_jobs(self, task: TaskRecord) -> int:
        """Returns the number of jobs of a checkpoint at a task."""
        return len(task.rates) * len(self.tuning_seeds) + len(self.other_seeds)

    def task(self, name: str) -> TaskRecord:
        """Returns a task by its name."""
        return next(task for task in self.tasks if task.name == name)


def job_name(checkpoint: str, task: str, rate: float, seed: int) -> str:
    """Returns the name of a job, which is also that of its folder."""
    return f"{checkpoint}__{task}__lr-{rate!r}__seed-{seed}"


def is_benchmark(folder: Path) -> bool:
    """Whether a folder is that of a benchmark."""
    return (folder / FILE).is_file()


def read_benchmark(folder: Path) -> BenchmarkRecord:
    """Reads the record of a benchmark.

    Raises:
        ConfigError: It was written by a newer version.
        DataError: It cannot be read.
    """
    file = folder / FILE
    values = read_json_object(file)
    version = values.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ConfigError(f"{file} was written by a newer clozekit, {values.get('clozekit')}")
    try:
        return BenchmarkRecord.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{file} is not the record of a benchmark: {where}: {first['msg']}"
        ) from None


def open_folder(folder: Path, record: BenchmarkRecord) -> BenchmarkRecord:
    """Checks that a benchmark's folder is free or that of this benchmark, without writing to it.

    Returns:
        The record to write, with the time of the first start.

    Raises:
        ConfigError: The folder has something else in it, a part of the earlier benchmark is left
            out, so that its results would be lost, or a checkpoint or file has changed.
    """
    if not is_benchmark(folder):
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder} is not a folder; use another name=…")
        others = [path for path in folder.glob("*") if path.name != ".lock"]
        if others or any(path.name != ".lock" for path in folder.glob(".*")):
            raise ConfigError(f"{folder} already exists and is not a benchmark; use another name=…")
        return record
    earlier = read_benchmark(folder)
    _check_all_is_kept(folder, earlier, record)
    _check_checkpoints(folder, earlier, record)
    _check_tasks(folder, earlier, record)
    _check_files(folder, earlier, record)
    return record.model_copy(update={"started": earlier.started})


def write_benchmark(folder: Path, record: BenchmarkRecord) -> None:
    """Writes the record."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, record.model_dump(mode="json"))


def _check_all_is_kept(folder: Path, earlier: BenchmarkRecord, now: BenchmarkRecord) -> None:
    names = [task.name for task in now.tasks]
    kept: list[tuple[str, Sequence[object], Sequence[object]]] = [
        ("checkpoint", _labels(earlier), _labels(now)),
        ("task", [task.name for task in earlier.tasks], names),
        ("seed", earlier.seeds, now.seeds),
    ]
    for task in earlier.tasks:
        if task.name in names:
            rates = now.task(task.name).rates
            kept.append((f"rate of suite.tasks.{task.name}", task.rates, rates))
    for kind, before, after in kept:
        left_out = [str(each) for each in before if each not in after]
        if left_out:
            raise ConfigError(
                f"{folder} also has the {kind} {', '.join(left_out)}, whose results would be lost; "
                "use another name=…, or add to what it has"
            )


def _labels(record: BenchmarkRecord) -> list[str]:
    return [checkpoint.label for checkpoint in record.checkpoints]


def _check_checkpoints(folder: Path, earlier: BenchmarkRecord, now: BenchmarkRecord) -> None:
    known = {checkpoint.label: checkpoint for checkpoint in earlier.checkpoints}
    for checkpoint in now.checkpoints:
        before = known.get(checkpoint.label, checkpoint)
        # Earlier versions recorded no settings.
        has_other_settings = before.settings not in ("", checkpoint.settings)
        if before.checksum != checkpoint.checksum or has_other_settings:
            changed = (
                f"{checkpoint.path} has changed since"
                if before.path == checkpoint.path
                else f"{checkpoint.path} is another checkpoint than {before.path}"
            )
            raise ConfigError(f"{folder}: {changed}; use another name=… for the benchmark")


def _check_tasks(folder: Path, earlier: BenchmarkRecord, now: BenchmarkRecord) -> None:
    for before in earlier.tasks:
        task = now.task(before.name)
        for key in ("metric", "mode", "split", "start_from"):
            had, has = getattr(before, key), getattr(task, key)
            if had != has:
                raise ConfigError(
                    f"{folder} has results of suite.tasks.{task.name} with {key}={had}, not {has}; "
                    "use another name=… for the benchmark"
                )


def _check_files(folder: Path, earlier: BenchmarkRecord, now: BenchmarkRecord) -> None:
    known = {task.name: task.files for task in earlier.tasks}
    for task in now.tasks:
        for path, checksum in task.files.items():
            if known.get(task.name, {}).get(path, checksum) != checksum:
                raise ConfigError(
                    f"{folder}: the file {path} of suite.tasks.{task.name} has changed since; use "
                    "another name=… for the benchmark"
                )
