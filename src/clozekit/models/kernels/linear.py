"""The linear layers of the blocks."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

from clozekit.models.kernels import onednn


class Linear(nn.Linear):
    """A linear layer for packed tokens; see `linear`."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name that nn.Linear gives it)
        """Maps `[tokens, in_features]` to `[tokens, out_features]`."""
        return linear(input, self.weight, self.bias)


def linear(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Computes `inputs @ weight.T + bias`; float32 on x86 with oneDNN, forward and backward.

    Args:
        inputs: `[tokens, in_features]`; for any other shape this is `torch.nn.functional.linear`.
        weight: `[out_features, in_features]`.
        bias: `[out_features]`.

    Returns:
        `[tokens, out_features]`.
    """
    if not onednn.can_multiply(inputs, weight):
        return F.linear(inputs, weight, bias)
    if torch.is_grad_enabled():
        output: Tensor = _OneDNNLinear.apply(  # type: ignore[no-untyped-call]
            inputs, weight, bias
        )
        return output
    return onednn.product(inputs, weight, bias)


class _OneDNNLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return onednn.product(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        of_inputs, of_weight, of_bias = ctx.needs_input_grad
        return (
            onednn.product(gradient, weight.t()) if of_inputs else None,
            *_parameter_gradients((of_weight, of_bias), gradient, inputs),
        )


class GELULinear(Linear):
    """GELU, then a linear layer.

    With oneDNN, backward recomputes the GELU instead of keeping it: it is the widest tensor of a
    block, and cheap in comparison with the products.

    Args:
        in_features: The width of the input.
        out_features: The width of the output.
        approximate: GELU's approximation, "none" or "tanh".
    """

    def __init__(self, in_features: int, out_features: int, approximate: str) -> None:
        super().__init__(in_features, out_features)
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Maps `[tokens, in_features]` to `[tokens, out_features]`."""
        if torch.is_grad_enabled() and onednn.can_multiply(input, self.weight):
            output: Tensor = _OneDNNGELULinear.apply(  # type: ignore[no-untyped-call]
                input, self.weight, self.bias, self.approximate
            )
            return output
        return linear(F.gelu(input, approximate=self.approximate), self.weight, self.bias)


class _OneDNNGELULinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, approximate: str) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.approximate = approximate
        return onednn.product(F.gelu(inputs, approximate=approximate), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        of_inputs, of_weight, of_bias = ctx.needs_input_grad[:3]
        activated = F.gelu(inputs, approximate=ctx.approximate)
        of_parameters = _parameter_gradients((of_weight, of_bias), gradient, activated)
        del activated
        if not of_inputs:
            return None, *of_parameters, None
        of_activated = onednn.product(gradient, weight.t())
        # In place, because both have the same shape.
        torch.ops.aten.gelu_backward.grad_input(
            of_activated, inputs, approximate=ctx.approximate, grad_input=of_activated
        )
        return of_activated, *of_parameters, None


def _parameter_gradients(
    needed: tuple[bool, bool], gradient: Tensor, inputs: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Computes the gradients of a linear layer's weight and bias, if they are needed."""
    of_weight, of_bias = needed
    return (
        onednn.product_over_tokens(gradient, inputs) if of_weight else None,
        gradient.sum(dim=0) if of_bias else None,
    )
