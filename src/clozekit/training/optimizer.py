"""Makes the optimizer of a run from its configuration."""

import inspect
import pydoc
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from clozekit.config.checks.optimizers import check_optimizer
from clozekit.config.composition.build import build, check_kind
from clozekit.errors import ConfigError


@dataclass(frozen=True)
class OptimizerFactory:
    """Makes an optimizer from parameter groups.

    Attributes:
        target: The path of the optimizer's class.
        arguments: `_target_` and the arguments of its constructor.
    """

    target: str
    arguments: dict[str, Any]

    def __call__(self, groups: list[dict[str, Any]]) -> Optimizer:
        """Makes the optimizer.

        Raises:
            ConfigError: The class is not an optimizer, or rejects or lacks an argument.
        """
        check_optimizer(self.target, self.arguments)
        optimizer: Optimizer = build("optimizer", self.arguments, groups)
        check_kind("optimizer", self.target, optimizer, Optimizer)
        self._check_decay(optimizer, groups)
        return optimizer

    def _check_decay(self, optimizer: Optimizer, groups: list[dict[str, Any]]) -> None:
        """Checks that the optimizer reads the weight decay of groups, which any optimizer takes."""
        weight_decay = max((group.get("weight_decay", 0.0) for group in groups), default=0.0)
        known = {*optimizer.defaults, *inspect.signature(type(optimizer)).parameters}
        if weight_decay and "weight_decay" not in known:
            raise ConfigError(
                f"optimizer.weight_decay={weight_decay}: {self.target} has no weight decay; it "
                "should be 0"
            )

    @property
    def use_muon_groups(self) -> bool:
        """Whether the class expects the matrices of the blocks in groups of their own."""
        try:
            return bool(getattr(pydoc.locate(self.target), "use_muon_groups", False))
        except pydoc.ErrorDuringImport:
            return False  # `build` reports it
