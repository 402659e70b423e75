"""F1 of texts with several labels."""

from typing import ClassVar

from torch import Tensor
from torchmetrics.classification import MultilabelF1Score


class MacroF1OfLabels(MultilabelF1Score):
    """The mean F1 over the labels of the model and the other labels that the rows have.

    Args:
        num_known: The number of labels of the model, which are the first.
        num_labels: The number of all labels.
        threshold: The probability from which a label is predicted.
    """

    names: ClassVar[tuple[str, ...]] = ("f1_macro",)

    def __init__(self, num_known: int, num_labels: int, threshold: float) -> None:
        super().__init__(num_labels, threshold, average="none", validate_args=False)
        self.num_known = num_known

    def compute(self) -> Tensor:
        """Computes the mean."""
        assert isinstance(self.tp, Tensor) and isinstance(self.fn, Tensor)
        is_counted = (self.tp + self.fn).reshape(-1) > 0
        is_counted[: self.num_known] = True
        return super().compute().reshape(-1)[is_counted].mean()
