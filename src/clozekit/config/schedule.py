"""The group `schedule`: the learning rate over the steps."""

from typing import Literal

from pydantic import ConfigDict, Field

from clozekit.config.groups import Closed
from clozekit.config.values import LARGEST

OWN_SCHEDULE = "clozekit.optim.schedules.learning_rate_factor"


class ScheduleConfig(Closed):
    """The learning rate schedule. For a custom `_target_` see `UserScheduleConfig`.

    Attributes:
        decay: The decay after the warmup: `linear`, `cosine` or `constant`.
        warmup_steps: The number of linear warmup steps; null to use `warmup_ratio`.
        warmup_ratio: The warmup steps as a fraction of `max_steps`.
        min_lr_ratio: The final learning rate as a fraction of the peak.
    """

    decay: Literal["linear", "cosine", "constant"] = "linear"
    warmup_steps: int | None = Field(None, ge=0, le=LARGEST)
    warmup_ratio: float = Field(0.0, ge=0, le=1)
    min_lr_ratio: float = Field(0.0, ge=0, le=1)

    def num_warmup_steps(self, max_steps: int) -> int:
        """Returns the number of warmup steps."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return round(self.warmup_ratio * max_steps)


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
