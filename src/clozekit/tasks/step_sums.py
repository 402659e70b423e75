"""Sums over the micro-batches of a step, and over the processes."""

from collections.abc import Mapping

import torch
from torch import Tensor, distributed


class StepSums:
    """Sums of a step that are added up micro-batch by micro-batch, for the metrics to log."""

    def __init__(self) -> None:
        self.values: dict[str, Tensor] = {}

    def add(self, sums: Mapping[str, Tensor]) -> None:
        """Adds the sums over a micro-batch, each `[]`."""
        for name, value in sums.items():
            self.values[name] = self.values.get(name, 0.0) + value.detach()


def over_processes(*groups: Mapping[str, Tensor]) -> list[dict[str, float]]:
    """Sums values over the processes, and copies them to the host.

    All of them are reduced and copied together: each of both would be a wait for the device.

    Args:
        *groups: Values by name, each `[]`, all on the device of this process.

    Returns:
        The sums, grouped as the values.
    """
    values = [value for group in groups for value in group.values()]
    # MPS does not support float64.
    dtype = torch.float32 if values[0].device.type == "mps" else torch.float64
    stacked = torch.stack([value.to(dtype) for value in values])
    if distributed.is_available() and distributed.is_initialized():
        # Lightning's `reduce` would first wait for all processes.
        distributed.all_reduce(stacked)
    sums = iter(stacked.tolist())
    return [{name: next(sums) for name in group} for group in groups]
