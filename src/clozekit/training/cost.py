"""The time of a run by its number of steps, from what was measured of its parts."""

from dataclasses import dataclass
from datetime import timedelta

from clozekit.config.callbacks import checkpoints_of
from clozekit.config.train import TrainConfig
from clozekit.data.module import StreamDataModule
from clozekit.training.length import most_steps, steps_in_phases
from clozekit.training.measuring import Measured
from clozekit.training.trainer import steps_between_validations


@dataclass(frozen=True)
class Cost:
    """The time of a run by its number of steps.

    Args:
        measured: What was measured.
        config: The run's configuration.
        datamodule: Its data.
        first_step: The number of steps that are done.
    """

    measured: Measured
    config: TrainConfig
    datamodule: StreamDataModule
    first_step: int = 0

    def seconds(self, max_steps: int) -> float:
        """Returns the seconds of training up to step `max_steps`, with the start of the run."""
        validations, saves = self.events(max_steps)
        return (
            self.measured.start
            + self.measured.warm_up
            + self._seconds_of_steps(max_steps)
            + validations * self.measured.validation
            + saves * self.measured.checkpoint
        )

    def events(self, max_steps: int) -> tuple[int, int]:
        """Returns the number of validations and of saved checkpoints.

        Of those at intervals of time it is the largest number: a validation is late by up to a
        step, and a save after it postpones the next one.
        """
        checkpoints = checkpoints_of(self.config)
        first, steps = self.first_step, max(0, max_steps - self.first_step)
        saves = 0
        if checkpoints is not None and checkpoints.every_n_steps is not None:
            saves = max_steps // checkpoints.every_n_steps - first // checkpoints.every_n_steps
        elapsed = self._seconds_of_steps(max_steps) + saves * self.measured.checkpoint
        interval = steps_between_validations(self.config, self.datamodule, max_steps)
        if isinstance(interval, int):
            validations = max(1, max_steps // interval - first // interval)
        else:
            # The time of the validations themselves is not part of the interval between them.
            validations = 1 + min(steps, int(elapsed / _seconds_of(interval)))
        if checkpoints is not None and checkpoints.every_n_minutes is not None:
            elapsed += validations * self.measured.validation
            saves += min(steps, int(elapsed / (60 * checkpoints.every_n_minutes)))
        return validations, saves + validations + 1

    def _seconds_of_steps(self, max_steps: int) -> float:
        steps = steps_in_phases(self.datamodule, max_steps, self.first_step)
        return sum(n * each for n, each in zip(steps, self.measured.step, strict=True))


def steps_of_budget(cost: Cost, seconds: float) -> int:
    """Returns the last step of a run that takes at most the given time; 0 if there is none."""
    left = seconds - cost.measured.total
    done = cost.first_step
    more = most_steps(lambda steps: cost.seconds(done + steps), left)
    return done + more if more else 0


def _seconds_of(interval: str | dict[str, int]) -> float:
    """Converts a time as Lightning writes it: 00:12:00:00, or a number of each unit."""
    if isinstance(interval, str):
        units = ("days", "hours", "minutes", "seconds")
        interval = dict(zip(units, map(int, interval.split(":")), strict=True))
    return timedelta(**interval).total_seconds()
