"""What a study optimizes: checks of its metric and its direction, before a trial is trained."""

from pkgutil import resolve_name
from typing import Literal

import optuna

from clozekit.config.callbacks import metrics_of_callbacks
from clozekit.config.registry import TASKS
from clozekit.config.train import TrainConfig
from clozekit.errors import ConfigError
from clozekit.metrics.best_values import LARGEST_IS_BEST, NONE_IS_BEST, SMALLEST_IS_BEST

Direction = Literal["minimize", "maximize"]

DIRECTIONS: dict[str, Direction] = {"min": "minimize", "max": "maximize"}
"""The direction that belongs to each mode of a metric."""

LIMITS = {"validation": "limit_val_batches", "test": "limit_test_batches"}
"""The keys of the trainer that can leave out the evaluation of a split."""


def direction_of(config: TrainConfig) -> Direction:
    """Returns the direction to optimize a run's monitored metric in.

    It depends on the task's class, so this imports it, and torch with it.
    """
    checkpoints = config.callbacks.get("checkpoints")
    mode = (checkpoints.model_extra or {}).get("mode", "auto") if checkpoints else "auto"
    if mode == "auto":
        mode = resolve_name(config.task.target).monitor_mode
    return DIRECTIONS[mode]


def check_metric(metric: str, direction: str, config: TrainConfig) -> None:
    """Checks a metric by its name before the first trial, if task and callbacks are clozekit's.

    Which of their metrics a run has depends on its data too.

    Raises:
        ConfigError: No task of clozekit has the metric, or the other direction is its own.
    """
    callbacks = [each.target for each in config.callbacks.values() if each is not None]
    if config.task.target not in TASKS or not all(c.startswith("clozekit.") for c in callbacks):
        return
    modes: dict[str, Literal["min", "max"] | None] = {
        **dict.fromkeys(SMALLEST_IS_BEST, "min"),
        **dict.fromkeys(LARGEST_IS_BEST, "max"),
        **dict.fromkeys(NONE_IS_BEST),
    }
    named = {"step": None, **metrics_of_callbacks(config)}
    last = metric.rpartition("/")[2]
    if metric not in named and last not in modes:
        raise ConfigError(
            f"hydra.sweeper.metric={metric} is not a metric of clozekit's tasks; the last part of "
            f"its name should be one of {', '.join(sorted(modes))}"
        )
    mode = named[metric] if metric in named else modes[last]
    if mode is not None and DIRECTIONS[mode] != direction:
        raise ConfigError(
            f"hydra.sweeper.direction={direction} would take the worst {metric} for the best; it "
            f"should be {DIRECTIONS[mode]}"
        )


def check_evaluated(metric: str | None, config: TrainConfig) -> None:
    """Checks that runs evaluate the split of a metric; None for one of validation.

    Raises:
        ConfigError: Their limit is no batches.
    """
    limit = LIMITS.get((metric or "validation").partition("/")[0])
    # To overfit sets the limit of validation itself.
    if limit is None or (config.trainer.overfit_batches and limit == LIMITS["validation"]):
        return
    if config.trainer.model_dump().get(limit) == 0:
        goes_by = f"hydra.sweeper.metric={metric}" if metric else "the metric of the task"
        raise ConfigError(
            f"trainer.{limit}=0 leaves no value of {goes_by} for Optuna to optimize; set another "
            "limit"
        )


def check_direction(study: optuna.Study, direction: Direction) -> None:
    """Checks the direction of a study, which Optuna keeps from its first start.

    Raises:
        ConfigError: It is another one.
    """
    known = [each.name.lower() for each in study.directions]
    if known != [direction]:
        raise ConfigError(
            f"hydra.sweeper.direction={direction} but the study {study.study_name} has "
            f"{', '.join(known)}; use another name=… for the sweep"
        )
