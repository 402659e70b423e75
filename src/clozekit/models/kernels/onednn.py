"""Matrix products of float32 on x86 with oneDNN.

`torch.nn.functional.linear` uses MKL for float32 there, which is slower on AMD processors:
`experiments/throughput/` has measurements on two.
"""

import platform

import torch
from torch import Tensor

IS_AVAILABLE = (
    platform.machine() in ("x86_64", "AMD64")
    and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


def can_multiply(inputs: Tensor, weight: Tensor) -> bool:
    """Whether `product` can be used for such tensors: float32 matrices on the CPU."""
    return (
        IS_AVAILABLE
        and inputs.device.type == "cpu"
        and inputs.dtype == weight.dtype == torch.float32
        and inputs.ndim == 2
        and inputs.numel() > 0
        and bool(torch.backends.mkldnn.enabled)
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def product(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Computes `inputs @ weight.T + bias`.

    Args:
        inputs: `[tokens, in_features]`.
        weight: `[out_features, in_features]`; it may be a transposed view.
        bias: `[out_features]`.

    Returns:
        `[tokens, out_features]`.
    """
    computed: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    return computed


def product_over_tokens(left: Tensor, right: Tensor) -> Tensor:
    """Computes `left.T @ right`, from `[tokens, a]` and `[tokens, b]` to `[a, b]`."""
    return product(left.t(), right.t())
