"""torch's own matrix products, by the names of those in `onednn`."""

from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def product(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Computes `inputs @ weight.T + bias`; see `onednn.product`."""
    return F.linear(inputs, weight, bias)


def product_over_tokens(left: Tensor, right: Tensor) -> Tensor:
    """Computes `left.T @ right`, from `[tokens, a]` and `[tokens, b]` to `[a, b]`."""
    return left.t() @ right
