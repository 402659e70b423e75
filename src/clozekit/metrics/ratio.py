"""A mean over all targets of an evaluation."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class Ratio(Metric):
    """A total divided by a count, such as the mean loss of all targets over all processes.

    torchmetrics' `MeanMetric` adds up in float32, or in the precision that Lightning converts a
    module to, and leaves out NaN, so a model that has diverged would seem to be fine.

    Args:
        device: The device of the values. Sums are in float64 where it has it.
    """

    is_differentiable = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, device: torch.device | str = "cpu", **options: Any) -> None:
        super().__init__(**options)
        dtype = torch.float32 if torch.device(device).type == "mps" else torch.float64
        self.add_state("total", torch.zeros((), dtype=dtype), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=dtype), dist_reduce_fx="sum")
        self.to(device)

    def update(self, total: Tensor, count: Tensor | int) -> None:
        """Adds a sum over targets, `[]`, and their number."""
        self.total += total.detach()
        self.count += count

    def compute(self) -> Tensor:
        """Returns the mean, `[]`; NaN if there was no target, or if a total was NaN."""
        return self.total / self.count
