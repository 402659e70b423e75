"""Muon's step on a GPU, for all matrices of one shape together.

torch's Muon multiplies each matrix on its own. The matrices of an encoder are so small that a GPU
then waits for the host to start its kernels.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.optim._muon import _adjust_lr

ELEMENTS_AT_ONCE = 2**25
"""The most elements of matrices that are multiplied together; it bounds the memory of a step."""


def muon_step(
    matrices: list[Tensor],
    grads: list[Tensor],
    momentum_buffers: list[Tensor],
    *,
    lr: float,
    weight_decay: float,
    momentum: float,
    nesterov: bool,
    ns_coefficients: tuple[float, float, float],
    ns_steps: int,
    eps: float,
    adjust_lr_fn: str | None,
) -> None:
    """Updates matrices in place, as `torch.optim.Muon` does but for rounding.

    Args:
        matrices: `[rows, columns]` each, of any shapes.
        grads: Their gradients.
        momentum_buffers: Their running averages of the gradient, updated in place.
        lr: The learning rate.
        weight_decay: The decoupled weight decay.
        momentum: The decay rate of the running averages.
        nesterov: Whether to use Nesterov momentum.
        ns_coefficients: The coefficients of a Newton-Schulz iteration.
        ns_steps: The number of iterations.
        eps: The smallest norm that an update is divided by.
        adjust_lr_fn: How the learning rate depends on a matrix's shape; see `torch.optim.Muon`.
    """
    torch._foreach_lerp_(momentum_buffers, grads, 1 - momentum)
    updates: list[Tensor] | tuple[Tensor, ...] = momentum_buffers
    if nesterov:
        updates = torch._foreach_lerp(grads, momentum_buffers, momentum)
    torch._foreach_mul_(matrices, 1 - lr * weight_decay)
    for places in _indices_by_shape(matrices):
        stacked = torch.stack([updates[place] for place in places])
        orthogonal = orthogonalized(stacked, ns_coefficients, ns_steps, eps)
        chosen = [matrices[place] for place in places]
        rate = _adjust_lr(lr, adjust_lr_fn, chosen[0].shape)
        torch._foreach_add_(chosen, orthogonal.to(chosen[0].dtype).unbind(), alpha=-rate)


def orthogonalized(
    matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """Brings the singular values of matrices near 1 by Newton-Schulz iterations in bfloat16.

    Jordan et al. (2024), https://kellerjordan.github.io/posts/muon/.

    Args:
        matrices: `[number, rows, columns]`.
        coefficients: Those of the matrix, its cube and its fifth power.
        steps: The number of iterations.
        eps: The smallest norm that a matrix is divided by.

    Returns:
        `[number, rows, columns]`, bfloat16.
    """
    a, b, c = coefficients  # of the matrix, its cube and its fifth power
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if is_tall else matrices).bfloat16()
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        gram = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, gram, x, beta=a)
    return x.mT if is_tall else x


def _indices_by_shape(matrices: list[Tensor]) -> Iterator[list[int]]:
    """Yields the indices of matrices that have one shape, not too many at once."""
    by_shape: dict[torch.Size, list[int]] = {}
    for index, matrix in enumerate(matrices):
        by_shape.setdefault(matrix.shape, []).append(index)
    for shape, indices in by_shape.items():
        number = max(1, ELEMENTS_AT_ONCE // shape.numel())
        for first in range(0, len(indices), number):
            yield indices[first : first + number]
