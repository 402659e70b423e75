"""The learning rate as a function of the step."""

import inspect
import math
from collections.abc import Callable
from functools import partial
from pkgutil import resolve_name
from typing import Any

from clozekit.config.train import ScheduleConfig, UserScheduleConfig
from clozekit.errors import ConfigError

OWN_KEYS = tuple(ScheduleConfig.model_fields)


def learning_rate_factor(step: int, schedule: ScheduleConfig, max_steps: int) -> float:
    """Gives what the peak learning rate is multiplied with at a step.

    Linear warmup, then the decay (Devlin et al., 2019, appendix A.2, for the linear one).

    Args:
        step: The global step, from 0.
        schedule: The shape.
        max_steps: The step at which the decay has ended.

    Returns:
        A factor in [0, 1]. The first step of a warmup has 1 / warmup, not 0, so it is not wasted.
    """
    warmup = schedule.num_warmup_steps(max_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule.decay == "constant":
        return 1.0
    progress = min(1.0, (step - warmup) / max(1, max_steps - warmup))
    remaining = (
        1.0 - progress if schedule.decay == "linear" else (1 + math.cos(math.pi * progress)) / 2
    )
    return schedule.min_lr_ratio + (1.0 - schedule.min_lr_ratio) * remaining


def make_schedule(schedule: ScheduleConfig, max_steps: int) -> Callable[[int], float]:
    """Makes the function that gives what the peak learning rate is multiplied with at a step.

    Args:
        schedule: The configuration: ours, or one that names a function or class of the user's.
        max_steps: The length of training.

    Raises:
        ConfigError: The user's is not there, takes no such argument, or gives no factor.
    """
    if not isinstance(schedule, UserScheduleConfig):
        return lambda step: learning_rate_factor(step, schedule, max_steps)
    factor = _of_the_users(schedule, max_steps)
    for step in (0, max_steps):
        value = factor(step)
        if not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ConfigError(
                f"schedule ({schedule.target}): it gives {value!r} at step {step}, where a number "
                "of 0 or more is needed"
            )
    # A function and not an object of a class, whose attributes torch would save in checkpoints.
    return lambda step: factor(step)


def _of_the_users(schedule: UserScheduleConfig, max_steps: int) -> Callable[[int], float]:
    try:
        target: Any = resolve_name(schedule.target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"schedule._target_={schedule.target}: {error}") from error
    signature = inspect.signature(target)
    ours = schedule.model_dump(include=set(OWN_KEYS) & signature.parameters.keys())
    arguments = {**ours, **(schedule.model_extra or {})}
    try:
        if not inspect.isclass(target):
            signature.bind(0, max_steps, **arguments)
        made: Any = partial(target, max_steps=max_steps, **arguments)
        if inspect.isclass(target):
            made = made()
    except TypeError as error:
        raise ConfigError(f"schedule ({schedule.target}): {error}") from error

    def factor(step: int) -> float:
        value: float = made(step)
        return value

    return factor
