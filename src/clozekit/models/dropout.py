"""Dropout with random bits that are cheap on the CPU."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

_LEVELS = 1 << 16


class Dropout(nn.Module):
    """Dropout (Srivastava et al., 2014) as a layer; see `dropout`."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        """Drops values in training, in any shape."""
        return dropout(values, self.p, self.training)


def dropout(values: Tensor, p: float, training: bool) -> Tensor:
    """Sets each value to zero with probability `p` and scales the others to keep the mean.

    On the CPU torch draws one number after the other, two random words for each value, which costs
    as much as a block's matrix products on a small encoder. There, four values share one 64-bit
    draw: `p` is rounded to a multiple of 2**-16, and the scale follows the rounded value.

    Args:
        values: Any shape.
        p: The probability, in [0, 1).
        training: Whether to drop; if not, or if `p` is 0, the values come back as they are.

    Returns:
        The shape and dtype of `values`.
    """
    if not training or p == 0:
        return values
    if values.device.type != "cpu":
        return F.dropout(values, p)
    num_dropped = round(p * _LEVELS)
    words = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    levels = words.view(torch.int16)[: values.numel()].view(values.shape)
    kept = levels >= num_dropped - _LEVELS // 2
    return values * kept.to(values.dtype).mul_(_LEVELS / (_LEVELS - num_dropped))
