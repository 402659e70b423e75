"""The linear layers of the blocks."""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

from clozekit.models.kernels import onednn, plain_products


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
            *_parameter_gradients((of_weight, of_bias), gradient, inputs, onednn),
        )


class GELULinear(Linear):
    """GELU, then a linear layer.

    With oneDNN and on a GPU, backward recomputes the GELU instead of keeping it: it is the widest
    tensor of a block, and cheap in comparison with the products. A compiler decides this itself.

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
        if torch.is_grad_enabled():
            if onednn.can_multiply(input, self.weight):
                return _recomputed(input, self.weight, self.bias, self.approximate, onednn)
            if _is_eager_on_gpu(input):
                return gelu_linear(input, self.weight, self.bias, self.approximate)
        return linear(F.gelu(input, approximate=self.approximate), self.weight, self.bias)


def gelu_linear(inputs: Tensor, weight: Tensor, bias: Tensor, approximate: str) -> Tensor:
    """Computes `gelu(inputs) @ weight.T + bias`, and recomputes the GELU in backward.

    Args:
        inputs: `[tokens, in_features]`.
        weight: `[out_features, in_features]`.
        bias: `[out_features]`.
        approximate: GELU's approximation, "none" or "tanh".

    Returns:
        `[tokens, out_features]`; under autocast in its dtype.
    """
    device = inputs.device.type
    if torch.is_autocast_enabled(device):
        # Here, because autocast does not reach into the function's backward.
        dtype = torch.get_autocast_dtype(device)
        inputs, weight, bias = inputs.to(dtype), weight.to(dtype), bias.to(dtype)
    with torch.autocast(device, enabled=False):
        return _recomputed(inputs, weight, bias, approximate, plain_products)


def _is_eager_on_gpu(inputs: Tensor) -> bool:
    return inputs.device.type == "cuda" and inputs.ndim == 2 and not torch.compiler.is_compiling()


def _recomputed(
    inputs: Tensor, weight: Tensor, bias: Tensor, approximate: str, products: ModuleType
) -> Tensor:
    output: Tensor = _GELULinear.apply(  # type: ignore[no-untyped-call]
        inputs, weight, bias, approximate, products
    )
    return output


class _GELULinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor,
        approximate: str,
        products: ModuleType,
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.approximate, ctx.products = approximate, products
        output: Tensor = products.product(F.gelu(inputs, approximate=approximate), weight, bias)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        of_inputs, of_weight, of_bias = ctx.needs_input_grad[:3]
        activated = F.gelu(inputs, approximate=ctx.approximate)
        of_parameters = _parameter_gradients(
            (of_weight, of_bias), gradient, activated, ctx.products
        )
        del activated
        if not of_inputs:
            return None, *of_parameters, None, None
        of_activated = ctx.products.product(gradient, weight.t())
        # In place, because both have the same shape.
        torch.ops.aten.gelu_backward.grad_input(
            of_activated, inputs, approximate=ctx.approximate, grad_input=of_activated
        )
        return of_activated, *of_parameters, None, None


def _parameter_gradients(
    needed: tuple[bool, bool], gradient: Tensor, inputs: Tensor, products: ModuleType
) -> tuple[Tensor | None, Tensor | None]:
    """Computes the gradients of a linear layer's weight and bias, if they are needed."""
    of_weight, of_bias = needed
    return (
        products.product_over_tokens(gradient, inputs) if of_weight else None,
        gradient.sum(dim=0) if of_bias else None,
    )
