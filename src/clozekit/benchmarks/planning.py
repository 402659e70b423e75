"""Plans a benchmark: composes each task once, checks it, and makes its jobs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from clozekit.benchmarks.checking import check_columns, check_results
from clozekit.benchmarks.record import JOBS, TaskRecord, job_name
from clozekit.config.benchmark import BenchmarkConfig, BenchmarkTaskConfig
from clozekit.config.checks.components import check_components
from clozekit.config.checks.key_conflicts import check_key_conflicts
from clozekit.config.checks.pairing import NAMES
from clozekit.config.checks.without_effect import check_effects
from clozekit.config.composition.composing import (
    as_override,
    checked_train,
    compose_train,
    options_of_jobs,
)
from clozekit.config.scores import OF_TASK, Score
from clozekit.config.train import TrainConfig
from clozekit.data.files.checksums import checksums_of_rows
from clozekit.errors import ConfigError, DataError
from clozekit.sweeps.job import Job


@dataclass(frozen=True)
class PlannedTask:
    """A task whose configuration is composed and checked.

    Attributes:
        record: What is recorded of it.
        overrides: The overrides of `clozekit train` that all its jobs share.
    """

    record: TaskRecord
    overrides: tuple[str, ...]
    _composed: DictConfig
    _name: str
    _runs_dir: Path
    _options: tuple[str, ...]

    def job(self, checkpoint: str, source: str, rate: float, seed: int) -> Job:
        """Makes a job.

        Args:
            checkpoint: The label of the checkpoint.
            source: What the encoder starts from.
            rate: The learning rate.
            seed: The seed.

        Raises:
            UserError: Its configuration is invalid.
        """
        name = job_name(checkpoint, self.record.name, rate, seed)
        own: dict[str, Any] = {
            "encoder.pretrained": source,
            "optimizer.lr": rate,
            "seed": seed,
        }
        full_name = f"{self._name}/{JOBS}/{name}"
        config = _checked(
            self.record.name, self._composed, {**own, "name": full_name, "resume": "auto"}
        )
        shown = [as_override(key, value) for key, value in own.items()]
        run = [*shown, f"name={full_name}", as_override("runs_dir", str(self._runs_dir))]
        arguments = ("train", *self._options, *self.overrides, *run, "resume=auto")
        return Job(name, (*self.overrides, *shown), arguments, config)


def plan_tasks(config: BenchmarkConfig, name: str) -> list[PlannedTask]:
    """Composes and checks all tasks of a suite.

    Args:
        config: The benchmark's configuration.
        name: The benchmark's name.

    Raises:
        UserError: A task cannot be run; the message begins with its key.
    """
    options = tuple(options_of_jobs())
    return [_plan(config, name, *named, options) for named in config.suite.chosen().items()]


def _plan(
    config: BenchmarkConfig,
    benchmark: str,
    name: str,
    task: BenchmarkTaskConfig,
    options: tuple[str, ...],
) -> PlannedTask:
    overrides = list(_overrides(config, name, task))
    key = f"suite.tasks.{name}"
    try:
        composed = compose_train(
            [*overrides, "name=benchmark", as_override("runs_dir", str(config.runs_dir))]
        )
    except ConfigError as error:
        if f"data={task.task} does not exist" in str(error):
            raise ConfigError(
                f"{key}.task={task.task}: there is no task or no data of this name; the tasks are "
                f"{', '.join(OF_TASK)}"
            ) from error
        raise ConfigError(_within(name, error)) from error
    kind = NAMES.get(OmegaConf.select(composed, "task._target_"))
    if kind is not None and kind not in OF_TASK:
        raise ConfigError(
            f"{key}: task={kind} is a pretraining task, without labels to learn; the tasks are "
            f"{', '.join(OF_TASK)}"
        )
    if not OmegaConf.select(composed, "callbacks.checkpoints"):
        raise ConfigError(f"{key}: callbacks.checkpoints is required, which selects the best model")
    checkpoint = config.all_checkpoints()[0]
    changes = {"encoder.pretrained": checkpoint, "resume": "auto"}
    trained = _checked(name, composed, changes)
    check_columns(key, trained)
    try:
        check_key_conflicts([*overrides, as_override("encoder.pretrained", checkpoint)])
        check_effects(trained, overrides)
    except ConfigError as error:
        raise ConfigError(_within(name, error)) from error
    record = TaskRecord(
        name=name,
        rates=tuple(task.rates or config.suite.rates),
        start_from=task.start_from,
        split=_split(key, task, trained),
        files=checksums_of_rows(trained.data.model_extra or {}),
        **_scored(key, task, trained),
    )
    monitor = [
        f"callbacks.checkpoints.monitor=validation/{record.metric}",
        f"callbacks.checkpoints.mode={record.mode}",
    ]
    for override in monitor:
        OmegaConf.update(composed, *override.split("=", 1))
    return PlannedTask(
        record, (*overrides, *monitor), composed, benchmark, config.runs_dir, options
    )


def _overrides(config: BenchmarkConfig, name: str, task: BenchmarkTaskConfig) -> Iterator[str]:
    """Yields the overrides of a task; later ones win over earlier ones."""
    further = [*config.suite.overrides, *task.overrides, *config.overrides]
    if task.experiment is not None:
        yield f"experiment={task.experiment}"
    else:
        yield f"task={task.task}"
        if not any(override.startswith("data=") for override in further):
            yield f"data={task.task}"
    epochs = task.epochs or config.suite.epochs
    if epochs is not None:
        yield from (f"max_epochs={epochs!r}", "max_steps=null")
    for key, value in task.data.items():
        try:
            yield as_override(f"data.{key}", value)
        except ConfigError as error:
            raise ConfigError(f"suite.tasks.{name}: {error}") from error
    yield from further


def _checked(name: str, composed: DictConfig, changes: dict[str, Any]) -> TrainConfig:
    try:
        config = checked_train(composed, changes)
        check_components(config)
    except (ConfigError, DataError) as error:
        raise type(error)(_within(name, error)) from error
    check_results(f"suite.tasks.{name}", config)
    return config


def _within(name: str, error: Exception) -> str:
    """Says whose data or other keys a message is about."""
    key, message = f"suite.tasks.{name}", str(error)
    if message.startswith("data."):
        return f"{key}.{message.replace('; set data.', f'; set {key}.data.')}"
    return f"{key}: {message}"


def _split(key: str, task: BenchmarkTaskConfig, config: TrainConfig) -> Any:
    has_test = (config.data.model_extra or {}).get("test") is not None
    if task.split == "test" and not has_test:
        raise ConfigError(f"{key}.split=test, but data.test is null; set {key}.data.test=…")
    return task.split or ("test" if has_test else "validation")


def _scored(key: str, task: BenchmarkTaskConfig, config: TrainConfig) -> dict[str, Any]:
    """Returns the metric of a task, what is best, and its unit."""
    kind = NAMES.get(config.task.target)
    known = OF_TASK.get(kind or "")
    metric = task.metric
    if known is None:
        if metric is None or task.mode == "auto":
            raise ConfigError(
                f"{key}: metric and mode are required for {config.task.target}, which is not one "
                "of clozekit's tasks"
            )
        score = Score(task.mode, 1.0, is_points=False)
    else:
        metric = metric or next(iter(known))
        if metric not in known:
            raise ConfigError(
                f"{key}.metric={metric} is not a metric of task={kind}; the metrics are "
                f"{', '.join(known)}"
            )
        score = known[metric]
        if task.mode not in ("auto", score.mode):
            raise ConfigError(
                f"{key}.mode={task.mode} would take the worst {metric} for the best; it should be "
                f"{score.mode}"
            )
    return {
        "metric": metric,
        "mode": score.mode,
        "factor": score.factor,
        "is_points": score.is_points,
    }


def check_jobs(jobs: Sequence[Job]) -> None:
    """Checks that the folders of jobs are free or theirs.

    Raises:
        UserError: A folder has something else in it.
    """
    for job in jobs:
        job.check_folder()
