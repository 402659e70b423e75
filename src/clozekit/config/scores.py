"""The metrics of clozekit's tasks as scores: what is best, and their unit. Free of torch."""

from dataclasses import dataclass
from typing import Literal

Mode = Literal["min", "max"]


@dataclass(frozen=True)
class Score:
    """How a metric is shown as a score.

    Attributes:
        mode: Whether the smallest (`min`) or largest (`max`) value is best.
        factor: The metric is multiplied by it. It is 100 for shares and correlations, which are
            then in points like the metrics of SQuAD.
        is_points: Whether the score is in points, so that it can be averaged with others.
    """

    mode: Mode
    factor: float
    is_points: bool


_SHARE = Score("max", 100.0, is_points=True)
_PERCENT = Score("max", 1.0, is_points=True)
_LOSS = Score("min", 1.0, is_points=False)

_ANSWERS = {"f1": _PERCENT, "exact_match": _PERCENT, "loss": _LOSS}

OF_TASK: dict[str, dict[str, Score]] = {
    "classification": {
        **dict.fromkeys(("accuracy", "f1", "f1_macro", "f1_micro"), _SHARE),
        "matthews_correlation": _SHARE,
        "loss": _LOSS,
    },
    "regression": {"spearman": _SHARE, "pearson": _SHARE, "mse": _LOSS, "loss": _LOSS},
    "tagging": {
        **dict.fromkeys(("f1", "precision", "recall", "accuracy"), _SHARE),
        "loss": _LOSS,
    },
    "question_answering": _ANSWERS,
    "question_answering_bio": _ANSWERS,
    "multiple_choice": {"accuracy": _SHARE, "loss": _LOSS},
    "embedding": {
        **dict.fromkeys(("mrr", "spearman", "recall@1", "recall@5", "recall@10"), _SHARE),
        "loss": _LOSS,
    },
}
"""The metrics of each choice of the group `task`; the first one is the default."""
