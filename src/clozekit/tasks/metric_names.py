"""The names of validation metrics, known before a validation, and the mode of each best value."""

from collections.abc import Iterable
from typing import Literal

from torch import nn
from torchmetrics import Metric

from clozekit.metrics.best_values import LARGEST_IS_BEST, SMALLEST_IS_BEST

OF_ONE_VALUE = (
    "torchmetrics.aggregation",
    "torchmetrics.classification",
    "torchmetrics.regression",
    "clozekit.metrics.ratio",
)
"""Modules whose metrics compute a single value, unless they have `names`."""


def names_of(name: str, metric: nn.Module) -> tuple[str, ...] | None:
    """Returns the names under which a metric's values are logged.

    Args:
        name: The name of the metric in its split.
        metric: The metric. A metric with several values lists their names in `names`.

    Returns:
        The names, or None if they are not known before the metric is computed.
    """
    names = getattr(metric, "names", None)
    if names is not None:
        return tuple(names)
    computes_one = isinstance(metric, Metric) and type(metric).__module__.startswith(OF_ONE_VALUE)
    return (name,) if computes_one else None


def metrics_and_modes(
    names: Iterable[str], sources: Iterable[str] = ()
) -> dict[str, Literal["min", "max"] | None]:
    """Returns the full names of validation metrics, each with the mode of its best value.

    Args:
        names: The names without the split.
        sources: The names of the sources of a mixture, which have the same metrics.

    Returns:
        `min`, `max`, or None if no value is better than another or the metric is a custom one.
    """
    modes: dict[str, Literal["min", "max"] | None] = {}
    for name in names:
        is_known = name in LARGEST_IS_BEST
        modes[f"validation/{name}"] = (
            "min" if name in SMALLEST_IS_BEST else "max" if is_known else None
        )
    of_all = {name.removeprefix("validation/"): mode for name, mode in modes.items()}
    for source in sources:
        modes |= {f"validation/{source}/{name}": mode for name, mode in of_all.items()}
    return modes
