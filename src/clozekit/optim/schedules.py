"""The learning rate as a function of the step."""

import math

from clozekit.config.train import ScheduleConfig


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
