"""The precision of sums, softmaxes and losses."""

import torch
from torch import Tensor


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """Returns float32 for half precision types and float64 for float64."""
    return torch.promote_types(dtype, torch.float32)


def upcast(tensor: Tensor) -> Tensor:
    """Converts a half precision tensor to float32; keeps float64."""
    return tensor.to(at_least_float32(tensor.dtype))


def product_dtype(weight: Tensor) -> torch.dtype:
    """Returns the dtype of products with a weight, which autocast may change."""
    device = weight.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return weight.dtype
