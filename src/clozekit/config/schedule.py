"""The group `schedule`: the learning rate over the steps."""

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from clozekit.config.groups import Closed
from clozekit.config.values import LARGEST

OWN_SCHEDULE = "clozekit.optim.schedules.learning_rate_factor"


class ScheduleConfig(Closed):
    """The learning rate schedule. For a custom `_target_` see `UserScheduleConfig`.

    Attributes:
        decay: How the rate decays after the warmup: `linear`, `cosine`, `1-sqrt` (Hägele et al.,
            2024) or `constant`, which does not decay.
        warmup_steps: The number of linear warmup steps; null to use `warmup_ratio`.
        warmup_ratio: The warmup steps as a fraction of `max_steps`.
        decay_steps: The number of steps of the decay, at the end of training; the rate is stable
            between warmup and decay. Null to use `decay_ratio`.
        decay_ratio: The steps of the decay as a fraction of `max_steps`; null to decay from the end
            of the warmup.
        min_lr_ratio: The final learning rate as a fraction of the peak.
    """

    decay: Literal["linear", "cosine", "1-sqrt", "constant"] = "linear"
    warmup_steps: int | None = Field(None, ge=0, le=LARGEST)
    warmup_ratio: float = Field(0.0, ge=0, le=1)
    decay_steps: int | None = Field(None, gt=0, le=LARGEST)
    decay_ratio: float | None = Field(None, gt=0, le=1)
    min_lr_ratio: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _check_decay(self) -> Self:
        for key in ("decay_steps", "decay_ratio"):
            value = getattr(self, key)
            if self.decay == "constant" and value is not None:
                raise ValueError(f"{key}={value} has no effect with decay=constant")
        if self.decay_steps is not None or self.warmup_steps is not None:
            return self
        if self.decay_ratio is not None and self.warmup_ratio + self.decay_ratio > 1:
            raise ValueError(
                f"warmup_ratio={self.warmup_ratio} and decay_ratio={self.decay_ratio} are more "
                "than 1 together"
            )
        return self

    def num_warmup_steps(self, max_steps: int) -> int:
        """Returns the number of warmup steps."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return round(self.warmup_ratio * max_steps)

    def first_decay_step(self, max_steps: int) -> int:
        """Returns the step at which the decay begins; the warmup comes first."""
        warmup = self.num_warmup_steps(max_steps)
        if self.decay_steps is not None:
            return max(warmup, max_steps - self.decay_steps)
        if self.decay_ratio is not None:
            return max(warmup, max_steps - max(1, round(self.decay_ratio * max_steps)))
        return warmup


def too_long(schedule: ScheduleConfig, max_steps: int) -> str | None:
    """Says what a run is too short for: its warmup, or its decay.

    It is not refused, because a long recipe is tried out in a few steps.

    Args:
        schedule: The schedule; nothing is known of a custom one.
        max_steps: The number of steps of the run.
    """
    if isinstance(schedule, UserScheduleConfig):
        return None
    warmup, decay = schedule.warmup_steps or 0, schedule.decay_steps or 0
    if warmup >= max_steps:
        return (
            f"schedule.warmup_steps={warmup} is not less than the {max_steps} steps of the run: "
            "the learning rate does not reach optimizer.lr"
        )
    rest = max_steps - schedule.num_warmup_steps(max_steps)
    if decay > rest:
        return (
            f"schedule.decay_steps={decay} is more than the {rest} steps after the warmup: the "
            "decay takes only these"
        )
    return None


def restarted(schedule: ScheduleConfig, step: int, max_steps: int) -> ScheduleConfig:
    """Returns a schedule whose decay begins at a step, for a run that begins at a checkpoint.

    There is no second warmup. The decay takes all further steps, or `decay_steps`.

    Args:
        schedule: The schedule; a custom one is returned unchanged.
        step: The step of the checkpoint.
        max_steps: The step at which the decay ends.

    Raises:
        ValueError: `decay_steps` is more than the number of further steps.
    """
    if isinstance(schedule, UserScheduleConfig):
        return schedule
    rest = max_steps - step
    if schedule.decay_steps is not None and schedule.decay_steps > rest:
        raise ValueError(
            f"schedule.decay_steps={schedule.decay_steps} is more than the {rest} steps from "
            f"step {step} to {max_steps}"
        )
    warmup = min(step, schedule.num_warmup_steps(max_steps))
    decay = None if schedule.decay == "constant" else schedule.decay_steps or rest
    return schedule.model_copy(
        update={"warmup_steps": warmup, "decay_steps": decay, "decay_ratio": None}
    )


class UserScheduleConfig(ScheduleConfig):
    """A custom learning rate schedule.

    Attributes:
        target: A function of `step` and `max_steps`, or a class that is constructed with
            `max_steps` and whose instances are functions of `step`. It returns the factor for the
            peak learning rate. It also receives the group's other keys; of the keys of
            `ScheduleConfig` only those that it has parameters for.
    """

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    target: str = Field(alias="_target_")
