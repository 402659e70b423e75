"""Muon for the matrices of the blocks and AdamW for all other parameters, as one optimizer."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from clozekit.optim.batched_muon import muon_step

_OPTIONS = (
    *("lr", "weight_decay", "momentum", "nesterov"),
    *("ns_coefficients", "ns_steps", "eps", "adjust_lr_fn"),
)
"""The options of a group that its step depends on."""


class MuonWithAdamW(Optimizer):
    """torch's Muon for groups with `use_muon`, and torch's AdamW for the others.

    Lightning counts a step for each optimizer object, so a run has only one. Its groups and its
    state are those of the two optimizers: schedules, gradient clipping and checkpoints see the
    groups of both.

    Muon orthogonalizes the update of each matrix (Jordan et al., 2024). With
    `adjust_lr_fn=match_rms_adamw`, its updates are as large as AdamW's, so both use the same
    learning rate and weight decay (Liu et al., 2025, section 2.2). Matrices that are stacked in one
    weight, such as query, key and value, are orthogonalized separately.

    Args:
        params: Groups of parameters; see `clozekit.optim.groups.with_hidden_matrices`.
        lr: The learning rate.
        weight_decay: The weight decay of groups that do not have their own.
        momentum: The decay rate of Muon's running average of the gradient.
        nesterov: Whether Muon uses Nesterov momentum.
        ns_steps: The number of Newton-Schulz iterations that orthogonalize an update.
        adjust_lr_fn: How Muon's learning rate depends on the shape of a matrix: `match_rms_adamw`,
            or `original` for the rule of Jordan et al.
        betas: AdamW's decay rates of the running averages of the gradient and its square.
        eps: Added to AdamW's denominator for numerical stability.
        fused: Whether AdamW uses torch's fused kernel; None for torch's default.
    """

    use_muon_groups: ClassVar[bool] = True
    """Whether the constructor expects groups with `use_muon`."""

    def __init__(
        self,
        params: Iterable[dict[str, Any]] | Iterable[nn.Parameter],
        lr: float = 1e-4,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        adjust_lr_fn: Literal["original", "match_rms_adamw"] = "match_rms_adamw",
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        fused: bool | None = None,
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "use_muon": False}
        given: list[Any] = list(params)
        # Parameters without groups are AdamW's.
        are_groups = bool(given) and isinstance(given[0], dict)
        groups = [dict(group) for group in given] if are_groups else given
        super().__init__(groups, defaults)
        self._combine(
            {
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
            {"betas": tuple(betas), "eps": eps, "fused": fused},
        )

    def _combine(self, of_muon: dict[str, Any], of_adamw: dict[str, Any]) -> None:
        """Makes the two optimizers of the groups. They share the groups' dicts and the state.

        torch adds an optimizer's options to each group that does not have them yet.
        """
        matrices = [group for group in self.param_groups if group["use_muon"]]
        others = [group for group in self.param_groups if not group["use_muon"]]
        self._optimizers: list[Optimizer] = []
        if matrices:
            self._optimizers.append(StackedMuon(matrices, **of_muon))
        if others:
            self._optimizers.append(AdamW(others, **of_adamw))
        for optimizer in self._optimizers:
            optimizer.state = self.state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores groups and state, from a checkpoint or a copy."""
        super().__setstate__(state)
        # The groups that are restored have all options.
        self._combine({}, {})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group, with the options of the earlier groups of its kind."""
        if hasattr(self, "_optimizers"):
            use_muon = param_group.get("use_muon", False)
            for group in self.param_groups:
                if group["use_muon"] == use_muon:
                    own = ("params", "initial_lr", "lr_scale", "num_matrices")
                    options = {key: value for key, value in group.items() if key not in own}
                    param_group = {**options, **param_group}
        super().add_param_group(param_group)
        if hasattr(self, "_optimizers"):
            self._combine({}, {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Updates all parameters."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self._optimizers:
            optimizer.step()
        return loss


class StackedMuon(Muon):
    """torch's Muon, for weights in which several matrices are stacked.

    A group's `num_matrices` is the number of matrices in each of its parameters, along the first
    dimension. The update of each is orthogonalized on its own: one orthogonal update of the whole
    would let the gradient of one matrix scale those of the others, and the size of the update would
    follow from the shape of the stack.

    On a GPU the matrices of one shape are updated together.
    """

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Updates all parameters."""
        if self.param_groups[0]["params"][0].device.type != "cuda":
            return super().step(closure)  # type: ignore[no-any-return, no-untyped-call]
        loss = None if closure is None else closure()
        for group in self.param_groups:
            self.step_batched(group)
        return loss

    @torch.no_grad()
    def step_batched(self, group: dict[str, Any]) -> None:
        """Updates the parameters of a group, the matrices of one shape together."""
        tensors: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
        self._init_group(group, *tensors)
        if tensors[0]:
            muon_step(*tensors, **{option: group[option] for option in _OPTIONS})

    def _init_group(
        self,
        group: Any,
        params_with_grad: list[Tensor],
        grads: list[Tensor],
        muon_momentum_bufs: list[Tensor],
    ) -> bool:
        has_complex = super()._init_group(group, params_with_grad, grads, muon_momentum_bufs)
        number = group.get("num_matrices", 1)
        if number > 1:
            for tensors in (params_with_grad, grads, muon_momentum_bufs):
                # Views, which are updated in place.
                tensors[:] = [matrix for tensor in tensors for matrix in tensor.chunk(number)]
        return bool(has_complex)
