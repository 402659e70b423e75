"""Gradient clipping, which Lightning leaves to the module under manual optimization."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm
from torch.optim import Optimizer


@dataclass(frozen=True)
class GradientClipping:
    """Clips gradients as the two keys of Lightning's Trainer say.

    Attributes:
        gradient_clip_val: The maximum norm over all gradients, or the maximum absolute value of
            each; None or 0 for no clipping.
        gradient_clip_algorithm: `norm` or `value`.
    """

    gradient_clip_val: float | None = None
    gradient_clip_algorithm: Literal["norm", "value"] = "norm"

    def clip(self, optimizer: Optimizer) -> Tensor:
        """Clips an optimizer's gradients in place.

        Returns:
            The gradient norm before clipping, `[]`.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if self.gradient_clip_algorithm == "norm" and self.gradient_clip_val:
            return clip_grad_norm_(parameters, self.gradient_clip_val).detach()
        norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self.gradient_clip_val:
            clip_grad_value_(parameters, self.gradient_clip_val)
        return norm.detach()
