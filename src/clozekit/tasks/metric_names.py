"""The names of a validation's metrics before there is one, and which value of each is the best."""

from collections.abc import Iterable
from typing import Literal

from torch import nn
from torchmetrics import Metric

SMALLEST_IS_BEST = ("loss", "mlm_loss", "nsp_loss", "perplexity", "mse")
NONE_IS_BEST = ("random_pairs", "best_exact_match_threshold", "best_f1_threshold")
LARGEST_IS_BEST = (
    *("accuracy", "mlm_accuracy", "nsp_accuracy", "no_answer_accuracy"),
    *("f1", "f1_micro", "f1_macro", "precision", "recall", "has_answer_f1", "best_f1"),
    *("exact_match", "has_answer_exact_match", "best_exact_match"),
    *("matthews_correlation", "pearson", "spearman"),
)

OF_ONE_VALUE = (
    "torchmetrics.aggregation",
    "torchmetrics.classification",
    "torchmetrics.regression",
)
"""The modules of torchmetrics whose metrics compute one value each."""


def names_of(name: str, metric: nn.Module) -> tuple[str, ...] | None:
    """Gives the names under which a metric's values are logged.

    Args:
        name: The metric's own among those of its split.
        metric: The metric. One that computes several values lists them in `names`.

    Returns:
        None where that cannot be known before it is computed.
    """
    names = getattr(metric, "names", None)
    if names is not None:
        return tuple(names)
    computes_one = isinstance(metric, Metric) and type(metric).__module__.startswith(OF_ONE_VALUE)
    return (name,) if computes_one else None


def metrics_and_modes(names: Iterable[str]) -> dict[str, Literal["min", "max"] | None]:
    """Gives validation metrics by their whole names, with the side of their best value.

    Args:
        names: Their names without the split.

    Returns:
        `min`, `max`, or None where no value is better than another, or the metric is the user's.
    """
    modes: dict[str, Literal["min", "max"] | None] = {}
    for name in names:
        is_known = name in LARGEST_IS_BEST
        modes[f"validation/{name}"] = (
            "min" if name in SMALLEST_IS_BEST else "max" if is_known else None
        )
    return modes
