"""The device of evaluation and prediction, and their precision by its name in Lightning."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, get_args

import torch
from torch import nn

from clozekit.config.values import Precision
from clozekit.errors import ConfigError

_DTYPES: dict[Precision, torch.dtype] = {
    "32-true": torch.float32,
    "64-true": torch.float64,
    "bf16-true": torch.bfloat16,
}
_AUTOCAST: dict[Precision, torch.dtype] = {
    "bf16-mixed": torch.bfloat16,
    "16-mixed": torch.float16,
}


class InferencePrecision:
    """Computes a model's output in a precision.

    Args:
        precision: The precision.
        device: The device of the model.

    Raises:
        ConfigError: There is no such precision, or the device does not have it.
    """

    def __init__(self, precision: Precision, device: torch.device) -> None:
        if precision not in get_args(Precision):
            raise ConfigError(
                f"precision={precision!r}; it should be one of {', '.join(get_args(Precision))}"
            )
        if precision == "16-mixed" and device.type == "cpu":
            raise ConfigError(
                f"precision={precision} is not supported on the CPU; use bf16-mixed or 32-true"
            )
        if precision == "64-true" and device.type == "mps":
            raise ConfigError(f"precision={precision} is not supported on the device mps")
        self.precision = precision

    def convert(self, model: nn.Module) -> None:
        """Converts the weights of a model; with mixed precision they stay in float32."""
        if self.precision in _DTYPES:
            model.to(_DTYPES[self.precision])

    def context(self, device: torch.device) -> AbstractContextManager[Any]:
        """Returns the context in which a model on the device computes."""
        if self.precision in _AUTOCAST:
            return torch.autocast(device.type, _AUTOCAST[self.precision])
        return nullcontext()


def device_of(name: str) -> torch.device:
    """Returns the device of a configuration.

    Raises:
        ConfigError: torch does not know the device, or this machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).strip().splitlines() or ["it is not available"])[0]
        raise ConfigError(f"device={name} cannot be used ({reason}); auto, cpu or cuda") from error
    if device.type == "meta":
        raise ConfigError(f"device={name} cannot be used: it has no memory; auto, cpu or cuda")
    return device
