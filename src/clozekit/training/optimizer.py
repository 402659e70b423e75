"""Makes the optimizer of a run from its configuration."""

import pydoc
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from clozekit.config.checks.optimizers import check_optimizer
from clozekit.config.composition.build import build, check_kind


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
            ConfigError: The class is not an optimizer, or rejects an argument.
        """
        check_optimizer(self.target, self.arguments)
        optimizer: Optimizer = build("optimizer", self.arguments, groups)
        check_kind("optimizer", self.target, optimizer, Optimizer)
        return optimizer

    @property
    def use_muon_groups(self) -> bool:
        """Whether the class expects the matrices of the blocks in groups of their own."""
        try:
            return bool(getattr(pydoc.locate(self.target), "use_muon_groups", False))
        except pydoc.ErrorDuringImport:
            return False  # `build` reports it
