"""The elementwise part of `linear_cross_entropy`: from logits to the loss and their gradient.

Three implementations of the same function. On the CPU every step overwrites the logits, which stay
in the cache of the processor. On a GPU each step is a pass over memory, so there are as few as
possible with the kernels of torch. For a compiler everything is written without overwriting, so
that it becomes two passes.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from clozekit.models.precision import at_least_float32


class SoftmaxGradient(NamedTuple):
    """The loss of some targets, and the gradient of their logits.

    Attributes:
        loss_sum: The cross-entropy summed over the targets, float32 or float64.
        num_correct: The number of targets that have the largest logit of their row, int64.
        of_logits: `[targets, vocab]`, in the dtype of the logits; None if it is not needed.
        of_bias: `[vocab]`: the sum of the gradient over the targets, in the dtype of the loss; None
            if it is not needed.
    """

    loss_sum: Tensor
    num_correct: Tensor
    of_logits: Tensor | None = None
    of_bias: Tensor | None = None


Kernel = Callable[[Tensor, Tensor, bool], SoftmaxGradient]
"""Takes logits `[targets, vocab]`, which may be overwritten, labels `[targets, 1]`, and whether the
gradient is needed."""


def kernel_for(device: torch.device, is_compiled: bool) -> Kernel:
    """Returns the fastest way on a device.

    Args:
        device: The device of the logits.
        is_compiled: Whether the code for a GPU is to be compiled.
    """
    if device.type != "cuda":
        return in_place
    return compiled() if is_compiled else in_few_passes


def in_place(logits: Tensor, wanted: Tensor, needs_gradient: bool) -> SoftmaxGradient:
    """Overwrites the logits by exp(logit - highest), then by the gradient."""
    dtype = logits.dtype
    logits = logits.to(at_least_float32(dtype))
    highest, predicted = logits.max(dim=-1, keepdim=True)
    of_label = logits.gather(-1, wanted) - highest
    total = logits.sub_(highest).exp_().sum(dim=-1, keepdim=True)
    loss_sum = (total.log() - of_label).sum()
    num_correct = (predicted == wanted).sum()
    if not needs_gradient:
        return SoftmaxGradient(loss_sum, num_correct)
    logits.div_(total).scatter_add_(-1, wanted, torch.full_like(of_label, -1.0))
    return SoftmaxGradient(loss_sum, num_correct, logits.to(dtype), logits.sum(dim=0))


def in_few_passes(logits: Tensor, wanted: Tensor, needs_gradient: bool) -> SoftmaxGradient:
    """Uses torch's log-softmax, which reads half precision and writes float32 in one pass."""
    log_softmax = logits.log_softmax(-1, dtype=at_least_float32(logits.dtype))
    of_label = log_softmax.gather(-1, wanted)
    num_correct = (logits.argmax(dim=-1, keepdim=True) == wanted).sum()
    if not needs_gradient:
        return SoftmaxGradient(-of_label.sum(), num_correct)
    gradient = log_softmax.exp_().scatter_add_(-1, wanted, torch.full_like(of_label, -1.0))
    return SoftmaxGradient(
        -of_label.sum(), num_correct, gradient.to(logits.dtype), gradient.sum(dim=0)
    )


def without_overwriting(logits: Tensor, wanted: Tensor, needs_gradient: bool) -> SoftmaxGradient:
    """For a compiler."""
    log_softmax = logits.log_softmax(-1, dtype=at_least_float32(logits.dtype))
    loss_sum = -log_softmax.gather(-1, wanted).sum()
    num_correct = (logits.argmax(dim=-1, keepdim=True) == wanted).sum()
    if not needs_gradient:
        return SoftmaxGradient(loss_sum, num_correct)
    is_wanted = torch.arange(logits.shape[-1], device=logits.device) == wanted
    gradient = log_softmax.exp() - is_wanted.to(log_softmax.dtype)
    return SoftmaxGradient(loss_sum, num_correct, gradient.to(logits.dtype), gradient.sum(dim=0))


@cache
def compiled() -> Kernel:
    """Returns `without_overwriting`, compiled for all its users when it is first called."""
    kernel: Kernel = torch.compile(without_overwriting)
    return kernel
