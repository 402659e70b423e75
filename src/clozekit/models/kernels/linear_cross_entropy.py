"""Cross-entropy over a vocabulary without all logits in memory at once.

The logits of a few targets at a time are computed, replaced by their own gradient, and multiplied
into the gradients of the hidden states and the weight. This is the work of backward, done while the
logits are still at hand: on the CPU, in the processor's cache. Cut Cross-Entropy (Wijmans et al.,
2024) and Liger Kernel's fused linear cross-entropy have the same idea; this is plain torch.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

from clozekit.models.kernels import onednn
from clozekit.models.kernels.softmax_gradient import kernel_for
from clozekit.models.precision import at_least_float32, upcast

LOGITS_AT_A_TIME = 1 << 23
"""32 MiB of float32. Smaller chunks make slow products of few rows on the CPU. Larger ones are
returned to the system by malloc after each use, which costs a page fault per 4 KiB."""
LOGITS_AT_A_TIME_ON_GPU = 1 << 26
"""About 2,200 targets of BERT's vocabulary: enough to keep all of a GPU busy in each kernel. In
bfloat16 the logits, their float32 softmax and the gradients of two chunks need 640 MiB."""


class CrossEntropy(NamedTuple):
    """The loss and the number of right predictions.

    Attributes:
        loss_sum: The cross-entropy summed over the targets, float32 or float64.
        num_correct: The number of targets that have the largest logit of their row, int64.
    """

    loss_sum: Tensor
    num_correct: Tensor


def linear_cross_entropy(
    hidden_states: Tensor,
    weight: Tensor,
    bias: Tensor,
    labels: Tensor,
    is_compiled: bool = False,
) -> CrossEntropy:
    """Computes the cross-entropy of `hidden_states @ weight.T + bias` in chunks of targets.

    If gradients are enabled, they are computed together with the loss, and backward only scales
    them. Under autocast the products have its precision, and the softmax has float32 at least.
    With float16 all logits are computed at once, because gradients of float16 would be too small
    without the loss scale, which is only known in backward.

    Args:
        hidden_states: `[targets, hidden]`.
        weight: `[vocab, hidden]`.
        bias: `[vocab]`.
        labels: `[targets]`, int64.
        is_compiled: Whether to compile the softmax and its gradient; only on a GPU.

    Returns:
        The sums over all targets.
    """
    device = hidden_states.device.type
    dtype = hidden_states.dtype
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    if dtype == torch.float16:
        return _at_once(hidden_states, weight, bias, labels)
    with torch.autocast(device, enabled=False):
        if torch.is_grad_enabled():
            sums = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
                hidden_states, weight, bias, labels, dtype, is_compiled
            )
            return CrossEntropy(*sums)
        return _sums(hidden_states, weight, bias, labels, dtype, is_compiled, gradients=None)


def _at_once(hidden_states: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> CrossEntropy:
    logits = F.linear(hidden_states, weight, bias)
    loss_sum = F.cross_entropy(upcast(logits), labels, reduction="sum")
    return CrossEntropy(loss_sum, (logits.argmax(-1) == labels).sum())


class _Gradients(NamedTuple):
    hidden_states: Tensor
    weight: Tensor
    bias: Tensor


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_states: Tensor,
        weight: Tensor,
        bias: Tensor,
        labels: Tensor,
        dtype: torch.dtype,
        is_compiled: bool,
    ) -> tuple[Tensor, Tensor]:
        gradients = _Gradients(
            torch.empty_like(hidden_states),
            torch.empty_like(weight, dtype=at_least_float32(weight.dtype)),
            torch.zeros_like(bias, dtype=at_least_float32(bias.dtype)),
        )
        sums = _sums(hidden_states, weight, bias, labels, dtype, is_compiled, gradients)
        ctx.gradients = gradients
        ctx.mark_non_differentiable(sums.num_correct)
        return sums.loss_sum, sums.num_correct

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, loss_gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        # Scaled in place, because the weight's gradient is large; so backward can run only once.
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("linear_cross_entropy: backward can only run once")
        return *(gradient.mul_(loss_gradient) for gradient in gradients), None, None, None


def _sums(
    hidden_states: Tensor,
    weight: Tensor,
    bias: Tensor,
    labels: Tensor,
    dtype: torch.dtype,
    is_compiled: bool,
    gradients: _Gradients | None,
) -> CrossEntropy:
    """Sums over chunks of targets, with products of `dtype`; fills `gradients`, if given."""
    wide = at_least_float32(dtype)
    weight, bias = weight.to(dtype), bias.to(dtype)
    loss_sum = hidden_states.new_zeros((), dtype=wide)
    num_correct = labels.new_zeros(())
    is_narrow = dtype != wide
    if gradients is not None and (is_narrow or not len(labels)):
        gradients.weight.zero_()
    kernel = kernel_for(hidden_states.device, is_compiled)
    for part in _chunks(len(labels), max(1, _logits_at_a_time(weight) // weight.shape[0])):
        inputs, wanted = hidden_states[part].to(dtype), labels[part, None]
        multiply = onednn.product if onednn.can_multiply(inputs, weight) else F.linear
        sums = kernel(multiply(inputs, weight, bias), wanted, gradients is not None)
        loss_sum += sums.loss_sum
        num_correct += sums.num_correct
        if gradients is None:
            continue
        assert sums.of_logits is not None and sums.of_bias is not None
        gradients.bias.add_(sums.of_bias)
        gradients.hidden_states[part] = multiply(sums.of_logits, weight.t())
        if is_narrow:
            gradients.weight.add_(sums.of_logits.t() @ inputs)
        else:
            beta = 0 if part.start == 0 else 1
            gradients.weight.addmm_(sums.of_logits.t(), inputs, beta=beta)
    return CrossEntropy(loss_sum, num_correct)


def _logits_at_a_time(weight: Tensor) -> int:
    return LOGITS_AT_A_TIME_ON_GPU if weight.device.type == "cuda" else LOGITS_AT_A_TIME


def _chunks(size: int, most: int) -> list[slice]:
    """Splits a range into as few chunks as possible, of nearly the same size."""
    number = -(-size // most)
    ends = [size * place // number for place in range(number + 1)] if number else []
    return [slice(begin, end) for begin, end in pairwise(ends)]
