"""How well predictions follow what they should be: correlations of scores and of classes."""

from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix
from torchmetrics.functional import pearson_corrcoef, spearman_corrcoef


class MatthewsCorrelation(MulticlassConfusionMatrix):
    """Matthews' correlation of classes (Gorodkin, 2004), 0 where it is not defined.

    torchmetrics' own gives other figures than scikit-learn, and so than GLUE, where one of two
    classes is all that is predicted or right.
    """

    names: ClassVar[tuple[str, ...]] = ("matthews_correlation",)

    def compute(self) -> Tensor:
        """Gives the correlation of all examples of all processes."""
        # MPS has no float64.
        counts = super().compute().cpu().double()
        gold, predicted, total = counts.sum(dim=1), counts.sum(dim=0), counts.sum()
        covariance = counts.trace() * total - gold @ predicted
        variances = (total**2 - predicted @ predicted) * (total**2 - gold @ gold)
        correlation = covariance / variances.sqrt() if variances > 0 else torch.tensor(0.0)
        return correlation.float().to(self.device)


class ScoreMetrics(Metric):
    """Pearson's and Spearman's correlation, and the mean squared error, over all examples.

    A correlation with what does not vary is not defined; it is given as 0, for nothing is followed.
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
        """Adds scores, `[batch]`, and those that they should be."""
        self.predictions.append(predictions.detach().float())
        self.golds.append(golds.detach().float())

    def compute(self) -> dict[str, Tensor]:
        """Gives `pearson`, `spearman` and `mse`."""
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


def _joined(state: list[Tensor] | Tensor) -> Tensor:
    return state if isinstance(state, Tensor) else torch.cat(state)


def _is_constant(values: Tensor) -> bool:
    return bool((values == values[0]).all())
