"""What is done to gradients besides clipping."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


def add_missing_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Sets gradients that are None to zero.

    Backward adds to a gradient that exists, and otherwise keeps the tensor that it computed. A CUDA
    graph returns that in memory that the next micro-batch overwrites.
    """
    for parameter in parameters:
        if parameter.requires_grad and parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


def unscale_gradients(scaler: Any, optimizer: Optimizer) -> None:
    """Divides gradients by the loss scale of 16-mixed before they are clipped.

    Lightning does so for optimizers that cannot do it themselves. A fused optimizer can, but only
    in its step. If the gradients are unscaled before, it only skips steps whose gradients are not
    finite, without a read by the host.

    Args:
        scaler: A `torch.amp.GradScaler`; None if the loss is not scaled.
        optimizer: The optimizer.
    """
    if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
        scaler.unscale_(optimizer)
