"""The linear layers of the blocks."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

from clozekit.models.kernels import onednn, plain_products


class Linear(nn.Linear):
    """A linear layer for packed tokens; see `linear`.

    Attributes:
        num_matrices: The number of matrices that are stacked in the weight, along its first
            dimension, so that they are computed in one product.
    """

    num_matrices: int = 1

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name that nn.Linear gives it)
        """Maps `[tokens, in_features]` to `[tokens, out_features]`."""
        return linear(input, self.weight, self.bias)


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Computes `inputs @ weight.T + bias`; float32 on x86 with oneDNN, forward and backward.

    Args:
        inputs: `[tokens, in_features]`; for any other shape this is `torch.nn.functional.linear`.
        weight: `[out_features, in_features]`.
        bias: `[out_features]`, or None.

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
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return onednn.product(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        needs_input, *needs_parameters = ctx.needs_input_grad
        return (
            onednn.product(gradient, weight.t()) if needs_input else None,
            *_parameter_gradients(needs_parameters, gradient, inputs, onednn),
        )


class GELULinear(Linear):
    """GELU, then a linear layer.

    With oneDNN and on a GPU, backward recomputes the GELU instead of keeping it: it is the widest
    tensor of a block, and cheap in comparison with the products. A compiler decides this itself.

    Args:
        in_features: The width of the input.
        out_features: The width of the output.
        approximate: GELU's approximation, "none" or "tanh".
        bias: Whether the linear layer has a bias.
    """

    activation: type["Activation"]

    def __init__(
        self, in_features: int, out_features: int, approximate: str, bias: bool = True
    ) -> None:
        super().__init__(in_features, out_features, bias=bias)
        self.approximate = approximate
        self.activation = GELU

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Maps `[tokens, in_features]` to `[tokens, out_features]`."""
        activation = self.activation
        if torch.is_grad_enabled():
            if onednn.can_multiply(input, self.weight):
                return _recomputed(
                    input, self.weight, self.bias, self.approximate, activation, onednn
                )
            if _is_eager_on_gpu(input):
                return activated_linear(input, self.weight, self.bias, self.approximate, activation)
        activated = activation.forward(input, self.approximate)
        return linear(activated, self.weight, self.bias)


class GatedGELULinear(GELULinear):
    """GeGLU, then a linear layer (Shazeer, 2020, equation 5). Otherwise like `GELULinear`.

    Its input, of width `2 * in_features`, is the input of the GELU and then the gate.
    """

    def __init__(
        self, in_features: int, out_features: int, approximate: str, bias: bool = True
    ) -> None:
        super().__init__(in_features, out_features, approximate, bias)
        self.activation = GatedGELU


class Activation(Protocol):
    """An activation with its gradient, for layers that compute it again in backward."""

    @staticmethod
    def forward(inputs: Tensor, approximate: str) -> Tensor:
        """Computes the activation of `[tokens, width]`."""
        ...

    @staticmethod
    def backward(gradient: Tensor, inputs: Tensor, approximate: str) -> Tensor:
        """Computes the gradient of the input. It may overwrite `gradient`, that of the output."""
        ...


class GELU:
    """Hendrycks and Gimpel (2016)."""

    @staticmethod
    def forward(inputs: Tensor, approximate: str) -> Tensor:
        """Maps `[tokens, width]` to the same shape."""
        return F.gelu(inputs, approximate=approximate)

    @staticmethod
    def backward(gradient: Tensor, inputs: Tensor, approximate: str) -> Tensor:
        """Returns the gradient of the input, in the memory of that of the output."""
        torch.ops.aten.gelu_backward.grad_input(
            gradient, inputs, approximate=approximate, grad_input=gradient
        )
        return gradient


class GatedGELU:
    """The GELU of the first half of the input, times the second half (GeGLU)."""

    @staticmethod
    def forward(inputs: Tensor, approximate: str) -> Tensor:
        """Maps `[tokens, 2 * width]` to `[tokens, width]`."""
        inner, gate = inputs.chunk(2, dim=-1)
        return F.gelu(inner, approximate=approximate) * gate

    @staticmethod
    def backward(gradient: Tensor, inputs: Tensor, approximate: str) -> Tensor:
        """Maps the gradient `[tokens, width]` to that of the input, `[tokens, 2 * width]`."""
        inner, gate = inputs.chunk(2, dim=-1)
        grad_input = torch.empty_like(inputs)
        grad_inner, grad_gate = grad_input.chunk(2, dim=-1)
        torch.mul(gradient, F.gelu(inner, approximate=approximate), out=grad_gate)
        grad_inner.copy_(
            torch.ops.aten.gelu_backward(gradient.mul_(gate), inner, approximate=approximate)
        )
        return grad_input


def activated_linear(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    approximate: str,
    activation: type[Activation] = GELU,
) -> Tensor:
    """Computes `activation(inputs) @ weight.T + bias`, and the activation again in backward.

    Args:
        inputs: `[tokens, in_features]`, or twice as wide for `GatedGELU`.
        weight: `[out_features, in_features]`.
        bias: `[out_features]`, or None.
        approximate: GELU's approximation, "none" or "tanh".
        activation: `GELU` or `GatedGELU`.

    Returns:
        `[tokens, out_features]`; under autocast in its dtype.
    """
    device = inputs.device.type
    if torch.is_autocast_enabled(device):
        # Here, because autocast does not reach into the function's backward.
        dtype = torch.get_autocast_dtype(device)
        inputs, weight = inputs.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    with torch.autocast(device, enabled=False):
        return _recomputed(inputs, weight, bias, approximate, activation, plain_products)


def _is_eager_on_gpu(inputs: Tensor) -> bool:
    return inputs.device.type == "cuda" and inputs.ndim == 2 and not torch.compiler.is_compiling()


def _recomputed(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    approximate: str,
    activation: type[Activation],
    products: ModuleType,
) -> Tensor:
    output: Tensor = _ActivatedLinear.apply(  # type: ignore[no-untyped-call]
        inputs, weight, bias, approximate, activation, products
    )
    return output


class _ActivatedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        approximate: str,
        activation: type[Activation],
        products: ModuleType,
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.approximate, ctx.activation, ctx.products = approximate, activation, products
        output: Tensor = products.product(activation.forward(inputs, approximate), weight, bias)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        needs_input, *needs_parameters = ctx.needs_input_grad[:3]
        activated = ctx.activation.forward(inputs, ctx.approximate)
        grad_parameters = _parameter_gradients(needs_parameters, gradient, activated, ctx.products)
        del activated
        if not needs_input:
            return None, *grad_parameters, None, None, None
        grad_activated = ctx.products.product(gradient, weight.t())
        grad_input = ctx.activation.backward(grad_activated, inputs, ctx.approximate)
        return grad_input, *grad_parameters, None, None, None


def _parameter_gradients(
    needed: Sequence[bool], gradient: Tensor, inputs: Tensor, products: ModuleType
) -> tuple[Tensor | None, Tensor | None]:
    """Computes the gradients of a linear layer's weight and bias, if they are needed."""
    needs_weight, needs_bias = needed
    return (
        products.product_over_tokens(gradient, inputs) if needs_weight else None,
        gradient.sum(dim=0) if needs_bias else None,
    )
