"""The length of training: in steps, passes over the data, tokens, or time."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

LENGTHS = ("max_steps", "max_epochs", "max_tokens", "budget")
"""The keys of which exactly one is set."""

LONGEST_BUDGET = 366 * 24 * 3600
"""A year, in seconds."""

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


def check_length(values: Mapping[str, object]) -> None:
    """Checks that the length of training is given in one way.

    Args:
        values: The values of `LENGTHS`.

    Raises:
        ValueError: None of them or several are set.
    """
    given = [f"{key}={value}" for key, value in values.items() if value is not None]
    choices = f"{', '.join(LENGTHS[:-1])} and {LENGTHS[-1]}"
    if not given:
        raise ValueError(f"the length of training is missing: set exactly one of {choices}")
    if len(given) > 1:
        raise ValueError(
            f"{' and '.join(given)}: set exactly one of {choices}, and the others to null"
        )


def seconds_of(duration: str) -> float:
    """Converts a duration such as `90s`, `30m` or `1h30m` to seconds.

    Raises:
        ValueError: It is not a duration, or is zero or longer than a year.
    """
    found = _DURATION.fullmatch(duration)
    if found is None or not duration:
        raise ValueError(f"{duration!r} should be a duration such as 90s, 30m, 2h or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    total = 3600 * hours + 60 * minutes + seconds
    if not 0 < total <= LONGEST_BUDGET:
        raise ValueError(f"{duration!r} should be more than 0 seconds and at most a year")
    return total


def _checked_duration(value: Any) -> str:
    # A number would leave open whether it means seconds or minutes.
    text = str(value)
    seconds_of(text)
    return text


Duration = Annotated[str, BeforeValidator(_checked_duration)]
"""A duration with units."""

Tokens = Annotated[int, Field(gt=0, le=2**62)]
"""A number of tokens."""
