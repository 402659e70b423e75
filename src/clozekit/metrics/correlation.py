"""Correlations of predicted with gold scores and classes."""

from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix
from torchmetrics.functional import pearson_corrcoef, spearman_corrcoef


class MatthewsCorrelation(MulticlassConfusionMatrix):
    """Matthews' correlation of classes (Gorodkin, 2004); 0 where it is undefined.

    torchmetrics' own version differs from scikit-learn, and therefore from GLUE, if only one of two
    classes occurs among the predictions or the labels.
    """

    names: ClassVar[tuple[str, ...]] = ("matthews_correlation",)

    def compute(self) -> Tensor:
        """Computes the correlation over all examples of all processes."""
        # MPS has no float64.
        counts = super().compute().cpu().double()
        gold, predicted, total = counts.sum(dim=1), counts.sum(dim=0), counts.sum()
        covariance = counts.trace() * total - gold @ predicted
        variances = (total**2 - predicted @ predicted) * (total**2 - gold @ gold)
        correlation = covariance / variances.sqrt() if variances > 0 else torch.tensor(0.0)
        return correlation.float().to(self.device)


class ScoreMetrics(Metric):
    """Pearson's and Spearman's correlation, and the mean squared error, over all examples.

    The correlation with a constant is undefined; it is reported as 0.
    """

    full_state_update: ClassVar[bool] = False  # type: ignore[misc]
    names: ClassVar[tuple[str, ...]] = ("pearson", "spearman", "mse")
    predictions: list[Tensor]
    golds: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("predictions", [], dist_reduce_fx="cat")
        self.add_state("golds", [], dist_reduce_fx="cat")

    def update(self, predictions: Tensor, golds: Tensor) -> None:
        """Adds predicted and gold scores, both `[batch]`."""
        self.predictions.append(predictions.detach().float())
        self.golds.append(golds.detach().float())

    def compute(self) -> dict[str, Tensor]:
        """Computes `pearson`, `spearman` and `mse`."""
        predictions, golds = _joined(self.predictions), _joined(self.golds)
        mse = (predictions - golds).square().mean()
        if len(golds) < 2 or _is_constant(predictions) or _is_constant(golds):
            nothing = torch.zeros_like(mse)
            return {"pearson": nothing, "spearman": nothing, "mse": mse}
        return {
            "pearson": pearson_corrcoef(predictions, golds),
            "spearman": spearman_corrcoef(predictions, golds),
            "mse": mse,
        }


def spearman(predictions: Tensor, golds: Tensor) -> Tensor:
    """Computes Spearman's correlation of two `[examples]`; 0 if one of them is constant."""
    if len(golds) < 2 or _is_constant(predictions) or _is_constant(golds):
        return torch.zeros((), device=golds.device)
    return spearman_corrcoef(predictions, golds)


def _joined(state: list[Tensor] | Tensor) -> Tensor:
    return state if isinstance(state, Tensor) else torch.cat(state)


def _is_constant(values: Tensor) -> bool:
    return bool((values == values[0]).all())
