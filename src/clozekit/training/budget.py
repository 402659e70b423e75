"""Fixes the number of steps of a run with a budget of time."""

from clozekit.config.length import seconds_of
from clozekit.errors import ConfigError
from clozekit.exit_codes import USER_ERROR
from clozekit.output.display import say
from clozekit.runs.folder import is_first_process
from clozekit.training.beginning import Beginning, Parts, make_parts
from clozekit.training.cost import Cost, steps_of_budget
from clozekit.training.measuring import Measured, measure

MEASURED_SHARE = 0.02
MOST_SECONDS = 20.0
"""The share of a budget for measured steps, and at most how long they take."""


def within_budget(begin: Beginning) -> Beginning:
    """Measures a run and replaces its budget by a number of steps, the same on all processes.

    Raises:
        ConfigError: The budget is too short for one step.
    """
    budget = begin.config.budget
    assert budget is not None
    parts = make_parts(begin)
    measured = measure(begin, parts, seconds_to_measure(budget))
    try:
        steps = steps_within(budget, begin, parts, measured)
    except ConfigError:
        # The error is the same on all processes; the first one reports it.
        if is_first_process():
            raise
        raise SystemExit(USER_ERROR) from None
    if is_first_process():
        rates = ", ".join(f"{seconds:.3g}" for seconds in measured.step)
        say(f"budget={budget}: a step takes {rates} seconds; max_steps={steps} is fixed")
    return begin.with_steps(steps)


def seconds_to_measure(budget: str) -> float:
    """Returns for how long the steps of a run with a budget are measured."""
    return min(MOST_SECONDS, MEASURED_SHARE * seconds_of(budget))


def steps_within(budget: str, begin: Beginning, parts: Parts, measured: Measured) -> int:
    """Returns the last step of a run with a budget.

    Raises:
        ConfigError: The budget is too short for one step.
    """
    cost = Cost(measured, parts.config, parts.datamodule, begin.first_step)
    steps = steps_of_budget(cost, seconds_of(budget))
    if steps == 0:
        least = measured.total + cost.seconds(begin.first_step + 1)
        raise ConfigError(
            f"budget={budget} is too short: measuring and one step with its validation take about "
            f"{least:.0f} s"
        )
    return steps
