"""The configuration of `clozekit benchmark`: suites, their tasks, and what they are run on."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from clozekit.config.groups import Closed
from clozekit.config.paths import FilePath, PathText
from clozekit.config.values import Count
from clozekit.errors import ConfigError

NumberT = TypeVar("NumberT", int, float)

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rates = Annotated[list[Rate], Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Epochs = Annotated[float, Field(gt=0, allow_inf_nan=False)]

NAME_OF_TASK = re.compile(r"[A-Za-z0-9]+([_.-][A-Za-z0-9]+)*")
"""Names of tasks and labels of checkpoints are parts of the names of folders, between `__`."""

LONGEST_NAME_OF_TASK = 40
AVERAGE = "average"
"""The name of the last row of the table."""

NAME_OF_BENCHMARK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+/-]*")

OF_THE_BENCHMARK = (
    *("name", "runs_dir", "resume", "seed", "optimizer.lr", "encoder.pretrained"),
    *("callbacks.checkpoints.monitor", "callbacks.checkpoints.mode"),
)
"""Keys of `clozekit train` that the benchmark sets itself."""

NOT_OF_A_JOB = ("from_run", "from_step", "plan")
"""Keys of `clozekit train` for runs that do not begin at the checkpoint, or do not train."""


class BenchmarkTaskConfig(Closed):
    """A task of a suite. It has either `experiment` or `task`.

    Attributes:
        experiment: The experiment of `conf/experiment/` that sets task, data and metric.
        task: The choice of the group `task`; the choice of the group `data` has the same name.
        data: Keys of the group `data`, such as `{train: reviews.csv, test: test.csv}`.
        overrides: Further overrides of `clozekit train` for this task.
        metric: The metric, such as `accuracy`; null for the task's own: accuracy, F1, Spearman's
            correlation, or the mean reciprocal rank of embeddings (`mrr`).
        mode: Whether the smallest (`min`) or largest (`max`) value is best; `auto` for metrics of
            clozekit's own tasks.
        split: The split of the reported score; null for `test` if the data has one, otherwise
            `validation`. The rate is always chosen on `validation`.
        epochs: The number of epochs; null for that of the suite.
        rates: The learning rates to try; null for those of the suite.
        start_from: Another task of the suite. Training starts from the weights of that task's run
            with its best rate and the same seed, not from the checkpoint itself.
    """

    experiment: str | None = None
    task: str | None = None
    data: dict[str, Any] = {}  # noqa: RUF012  pydantic copies defaults
    overrides: list[str] = []  # noqa: RUF012  pydantic copies defaults
    metric: str | None = None
    mode: Literal["auto", "min", "max"] = "auto"
    split: Literal["validation", "test"] | None = None
    epochs: Epochs | None = None
    rates: Rates | None = None
    start_from: str | None = None

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if (self.experiment is None) == (self.task is None):
            raise ValueError(
                "set either experiment, such as glue/rte, or task, such as classification"
            )
        return self

    @field_validator("metric")
    @classmethod
    def _check_metric(cls, metric: str | None) -> str | None:
        if metric is not None and "/" in metric:
            raise ValueError(f"{metric}: write it without the split, such as accuracy")
        return metric

    @field_validator("rates")
    @classmethod
    def _check_rates(cls, rates: list[float] | None) -> list[float] | None:
        return None if rates is None else unique(rates)

    @field_validator("overrides")
    @classmethod
    def _check_overrides(cls, overrides: list[str]) -> list[str]:
        return checked_overrides(overrides)


class SuiteConfig(Closed):
    """A suite of tasks.

    Attributes:
        tasks: The tasks by name; null leaves one out.
        epochs: The number of epochs of tasks without their own; null for that of their experiment.
        rates: The learning rates to try, for tasks without their own.
        overrides: Overrides of `clozekit train` for all tasks of the suite.
    """

    tasks: dict[str, BenchmarkTaskConfig | None]
    epochs: Epochs | None = None
    rates: Rates
    overrides: list[str] = []  # noqa: RUF012  pydantic copies defaults

    @field_validator("rates")
    @classmethod
    def _check_rates(cls, rates: list[float]) -> list[float]:
        return unique(rates)

    @field_validator("overrides")
    @classmethod
    def _check_overrides(cls, overrides: list[str]) -> list[str]:
        return checked_overrides(overrides)

    def chosen(self) -> dict[str, BenchmarkTaskConfig]:
        """Returns the tasks that are not left out, those that others start from first.

        Raises:
            ConfigError: There is no task, a name cannot be used, two tasks are the same, or a task
                starts from one that does not exist or starts from another one itself.
        """
        tasks = {name: task for name, task in self.tasks.items() if task is not None}
        if not tasks:
            raise ConfigError(
                "suite.tasks is empty; add a task, for example with suite.tasks.mine.task="
                "classification suite.tasks.mine.data.train=rows.csv"
            )
        for name, task in tasks.items():
            _check_name(name)
            _check_start(name, task, tasks)
        _check_duplicates(tasks)
        return dict(sorted(tasks.items(), key=lambda named: named[1].start_from is not None))


class BenchmarkConfig(Closed):
    """What to benchmark, and on which suite.

    Attributes:
        suite: The tasks.
        checkpoint: A run's folder (its best checkpoint, or else its last), a `.ckpt` file, a folder
            in the format of transformers, or a model of the Hugging Face hub.
        checkpoints: Several of them; all others are compared with the first one.
        seeds: The number of seeds, from 0, or a list of seeds.
        rate_seeds: How many of the seeds, from the first, try all learning rates and choose the
            best one; the others only run with that one. null for all seeds.
        name: The name of the benchmark's folder in `runs_dir`; null for a name made from the suite
            and the checkpoints. An unfinished benchmark of this name is continued.
        runs_dir: The folder that contains the runs.
        overrides: Overrides of `clozekit train` for all jobs, such as
            `[trainer=gpu,micro_batch_size=16]`.
        keep_checkpoints: Whether to keep the checkpoints of all jobs. If not, those of a finished
            job are removed, unless other tasks start from them.
    """

    suite: SuiteConfig
    checkpoint: PathText | None = None
    checkpoints: list[PathText] | None = None
    seeds: Count | list[Seed] = 1
    rate_seeds: Count | None = None
    name: str | None = None
    runs_dir: FilePath = Path("runs")
    overrides: list[str] = []  # noqa: RUF012  pydantic copies defaults
    keep_checkpoints: bool = False

    @model_validator(mode="after")
    def _check_checkpoints(self) -> Self:
        if (self.checkpoint is None) == (not self.checkpoints):
            raise ValueError("set either checkpoint=… or checkpoints=[…]")
        return self

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, seeds: int | list[int]) -> int | list[int]:
        if isinstance(seeds, int):
            if seeds > 1000:
                raise ValueError(f"{seeds}: it should be at most 1000; [{seeds}] is one seed")
            return seeds
        if not seeds:
            raise ValueError("[]: it should have at least one seed")
        return unique(seeds)

    @model_validator(mode="after")
    def _check_rate_seeds(self) -> Self:
        count = len(self.all_seeds())
        if self.rate_seeds is not None and self.rate_seeds > count:
            raise ValueError(
                f"rate_seeds={self.rate_seeds}: it should be at most {count}, the number of seeds"
            )
        return self

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str | None) -> str | None:
        if name is not None and not NAME_OF_BENCHMARK.fullmatch(name):
            raise ValueError(f"{name}: it can contain only letters, digits and . _ - + /")
        if name is not None and any(part in ("", ".", "..") for part in name.split("/")):
            raise ValueError(f"{name} would be another folder; a name has no parts like '..'")
        return name

    @field_validator("overrides")
    @classmethod
    def _check_overrides(cls, overrides: list[str]) -> list[str]:
        return checked_overrides(overrides)

    def all_checkpoints(self) -> tuple[str, ...]:
        """Returns the checkpoints as given."""
        return tuple(self.checkpoints or [self.checkpoint or ""])

    def all_seeds(self) -> tuple[int, ...]:
        """Returns the seeds."""
        return tuple(range(self.seeds) if isinstance(self.seeds, int) else self.seeds)


def unique(values: Iterable[NumberT]) -> list[NumberT]:
    """Checks that no value is given twice.

    Raises:
        ValueError: A value is given twice.
    """
    found: list[NumberT] = []
    for value in values:
        if value in found:
            raise ValueError(f"{value} is given twice")
        found.append(value)
    return found


def checked_overrides(overrides: list[str]) -> list[str]:
    """Checks that overrides leave the keys of the benchmark alone.

    Raises:
        ValueError: An override has no value, or sets a key of the benchmark.
    """
    for override in overrides:
        key, equals, _ = override.partition("=")
        name = key.lstrip("+~")
        if not equals and not key.startswith("~"):
            raise ValueError(f"{override!r} is not an override; write key=value")
        if name == "plan":
            raise ValueError(f"{override}: a plan is that of one run; use clozekit train for it")
        if name in OF_THE_BENCHMARK:
            raise ValueError(f"{override}: the benchmark sets {name} itself")
        if name in NOT_OF_A_JOB:
            raise ValueError(
                f"{override}: a job trains from checkpoint, so {name} cannot be set for it"
            )
        if name.startswith(("hydra.", "hydra/")):
            raise ValueError(f"{override}: set {name} for the benchmark, not for its jobs")
    return overrides


def _check_name(name: str) -> None:
    if name.lower() == AVERAGE:
        raise ConfigError(f"suite.tasks.{name}: this is the name of the average of all tasks")
    if not NAME_OF_TASK.fullmatch(name) or len(name) > LONGEST_NAME_OF_TASK:
        raise ConfigError(
            f"suite.tasks.{name}: a task's name can contain only letters, digits and single "
            f". _ - between them, and has at most {LONGEST_NAME_OF_TASK} characters"
        )


def _check_start(
    name: str, task: BenchmarkTaskConfig, tasks: dict[str, BenchmarkTaskConfig]
) -> None:
    if task.start_from is None:
        return
    key = f"suite.tasks.{name}.start_from={task.start_from}"
    if task.start_from not in tasks or task.start_from == name:
        others = ", ".join(other for other in tasks if other != name) or "none"
        raise ConfigError(f"{key}: it should be another task of the suite; these are {others}")
    if tasks[task.start_from].start_from is not None:
        raise ConfigError(
            f"{key}, but that task starts from {tasks[task.start_from].start_from} itself; start "
            "from a task that starts from the checkpoint"
        )


def _check_duplicates(tasks: dict[str, BenchmarkTaskConfig]) -> None:
    seen: dict[str, str] = {}
    for name, task in tasks.items():
        content = task.model_dump_json()
        if content in seen:
            raise ConfigError(f"suite.tasks.{name} is the same task as suite.tasks.{seen[content]}")
        seen[content] = name
        lower = name.lower()
        same = [other for other in tasks if other != name and other.lower() == lower]
        if same:
            raise ConfigError(
                f"suite.tasks.{name} and suite.tasks.{same[0]}: names of tasks should differ in "
                "more than capital letters"
            )
