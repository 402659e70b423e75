"""The linear layer of the blocks, by the faster of torch's two libraries for the CPU."""

import platform
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_HAS_ONEDNN = (
    platform.machine() in ("x86_64", "AMD64")
    and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


NARROWEST = 256
"""Below it oneDNN was not faster: see `experiments/throughput/levers.py`."""


class Linear(nn.Linear):
    """A linear layer of packed tokens; on x86 in float32 its products are oneDNN's.

    `torch.nn.functional.linear` multiplies float32 by MKL there, whose products are slower on
    AMD's processors: `experiments/throughput/` has the figures. All else goes torch's way.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name that nn.Linear gives it)
        """Maps `[tokens, in_features]` to `[tokens, out_features]`."""
        if not self._is_for_onednn(input):
            return super().forward(input)
        if torch.is_grad_enabled():
            output: Tensor = _OneDNNLinear.apply(  # type: ignore[no-untyped-call]
                input, self.weight, self.bias
            )
            return output
        return _product(input, self.weight, self.bias)

    def _is_for_onednn(self, inputs: Tensor) -> bool:
        return (
            _HAS_ONEDNN
            and inputs.device.type == "cpu"
            and inputs.dtype == self.weight.dtype == torch.float32
            and inputs.ndim == 2
            and inputs.numel() > 0
            and min(self.weight.shape) >= NARROWEST
            and bool(torch.backends.mkldnn.enabled)
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
        )


class _OneDNNLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return _product(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        of_inputs, of_weight, of_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight.t(), None) if of_inputs else None,
            gradient.t() @ inputs if of_weight else None,
            gradient.sum(dim=0) if of_bias else None,
        )


def _product(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`inputs @ weight.T + bias`."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    return product
