"""The learning rate as a function of the step."""

import inspect
import math
from collections.abc import Callable
from functools import partial
from pkgutil import resolve_name
from typing import Any

from clozekit.config.schedule import ScheduleConfig, UserScheduleConfig
from clozekit.errors import ConfigError

OWN_KEYS = tuple(ScheduleConfig.model_fields)

_DECAYS: dict[str, Callable[[float], float]] = {
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: (1 + math.cos(math.pi * progress)) / 2,
    "1-sqrt": lambda progress: 1.0 - math.sqrt(progress),
}
"""What remains of the rate, by the share of the decay that is done."""


def learning_rate_factor(step: int, schedule: ScheduleConfig, max_steps: int) -> float:
    """Returns the factor of the peak learning rate at a step.

    Linear warmup, then decay (Devlin et al., 2019, appendix A.2, use linear decay), or with
    `decay_steps` or `decay_ratio`, a stable rate between them (warmup-stable-decay; Hu et al.,
    2024; Hägele et al., 2024, section 3).

    Args:
        step: The global step, from 0.
        schedule: Warmup and decay.
        max_steps: The step at which the decay ends.

    Returns:
        A factor in [0, 1]. A warmup starts above 0, so that its first step is not wasted.
    """
    warmup = schedule.num_warmup_steps(max_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule.decay == "constant":
        return 1.0
    first = schedule.first_decay_step(max_steps)
    progress = min(1.0, max(0, step - first) / max(1, max_steps - first))
    remaining = _DECAYS[schedule.decay](progress)
    return schedule.min_lr_ratio + (1.0 - schedule.min_lr_ratio) * remaining


def make_schedule(schedule: ScheduleConfig, max_steps: int) -> Callable[[int], float]:
    """Makes the function that returns the factor of the peak learning rate at a step.

    Args:
        schedule: A built-in schedule, or one that names a user's function or class.
        max_steps: Number of training steps.

    Raises:
        ConfigError: The user's function or class does not exist, does not accept the arguments, or
            does not return a valid factor at the first or last step. The function that is made
            raises it at any other step.
    """
    if not isinstance(schedule, UserScheduleConfig):
        return lambda step: learning_rate_factor(step, schedule, max_steps)
    made = _user_schedule(schedule, max_steps)

    # A plain function, because torch would save the attributes of an object in checkpoints.
    def factor(step: int) -> float:
        value = made(step)
        if not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ConfigError(
                f"schedule ({schedule.target}) returned {value!r} at step {step}; it must return a "
                "number of at least 0"
            )
        return value

    for step in (0, max_steps):  # before training, where a mistake is likely to show
        factor(step)
    return factor


def _user_schedule(schedule: UserScheduleConfig, max_steps: int) -> Callable[[int], Any]:
    try:
        target: Any = resolve_name(schedule.target)
        signature = inspect.signature(target)
    except TypeError as error:
        raise ConfigError(f"schedule._target_={schedule.target} is not a function") from error
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"schedule._target_={schedule.target}: {error}") from error
    ours = schedule.model_dump(include=set(OWN_KEYS) & signature.parameters.keys())
    arguments = {**ours, **(schedule.model_extra or {})}
    try:
        if not inspect.isclass(target):
            signature.bind(0, max_steps, **arguments)
        made: Callable[..., Any] = partial(target, max_steps=max_steps, **arguments)
        schedule_of_step: Callable[[int], Any] = made() if inspect.isclass(target) else made
    except TypeError as error:
        raise ConfigError(f"schedule ({schedule.target}): {error}") from error
    return schedule_of_step
