"""Early checks of the values that torch's optimizers and clozekit's Muon would take or fail on."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from clozekit.config.values import as_yaml
from clozekit.errors import ConfigError

REFUSED = {
    "LBFGS": "it computes the loss several times in a step",
    "SparseAdam": "it is for sparse gradients, and those of an encoder are dense",
}
"""Optimizers of torch that cannot train a model of clozekit."""


def check_optimizer(target: str, arguments: Mapping[str, Any]) -> None:
    """Checks the arguments of an optimizer of torch or clozekit; others check their own.

    Args:
        target: The optimizer's class.
        arguments: The keys of the group `optimizer`.

    Raises:
        ConfigError: The optimizer is not supported, or a value is invalid.
    """
    if not target.startswith(("torch.optim.", "clozekit.optim.")):
        return
    name = target.rpartition(".")[2]
    if name in REFUSED:
        raise ConfigError(f"optimizer._target_={target} is not supported: {REFUSED[name]}")
    for key, (is_valid, allowed) in _CHECKS.items():
        # Adafactor has two of them.
        if key not in arguments or (key == "eps" and name == "Adafactor"):
            continue
        if not is_valid(arguments[key]):
            written = as_yaml(arguments[key])
            raise ConfigError(f"optimizer.{key}={written}: it should be {allowed}")


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _is_rate(value: Any) -> bool:
    return _is_number(value) and 0 <= value < 1


def _are_two_rates(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_rate, value))


def _is_small(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_number_of_iterations(value: Any) -> bool:
    # torch refuses 100 of them.
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 100


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "betas": (_are_two_rates, "a list of two numbers of at least 0 and less than 1"),
    "momentum": (_is_rate, "a number of at least 0 and less than 1"),
    "eps": (_is_small, "a number of at least 0"),
    "ns_steps": (_is_number_of_iterations, "an integer from 1 to 99"),
}
"""What is valid for each key, and how it is said."""
