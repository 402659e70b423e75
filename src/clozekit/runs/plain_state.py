"""Keeps checkpoints to values that are read without executing anything: plain ones and tensors."""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from clozekit.errors import ConfigError

_PLAIN = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,
    torch.dtype,
    torch.device,
    torch.Size,
)

HYPERPARAMETERS = ("hyper_parameters", "datamodule_hyper_parameters")
TYPES_OF_HYPERPARAMETERS = ("hparams_type", "datamodule_hparams_type")


def plain_checkpoint(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Returns a checkpoint of values that `torch.load(weights_only=True)` reads.

    Other objects among the hyperparameters of `save_hyperparameters` are left out: a run is made
    again from its configuration.

    Raises:
        ConfigError: A callback or a hook has added another object.
    """
    kept = {name: part for name, part in checkpoint.items() if name not in TYPES_OF_HYPERPARAMETERS}
    for name in HYPERPARAMETERS:
        if isinstance(part := kept.get(name), Mapping):
            kept[name] = {key: value for key, value in part.items() if _is_plain(value)}
    return {name: plain_state(part, name) for name, part in kept.items()}


def plain_state(value: Any, where: str) -> Any:
    """Returns a part of a checkpoint with numbers of Python instead of those of numpy.

    Args:
        value: Plain values, tensors, and dicts, lists, tuples and sets of them.
        where: What the part is called in the checkpoint.

    Raises:
        ConfigError: It has another object.
    """
    if isinstance(value, np.generic):
        value = value.item()
    kind = type(value)
    if kind is bytes and not value:
        return bytearray()  # torch does not read the way that empty bytes are pickled
    if kind in _PLAIN or isinstance(value, torch.Tensor):
        return value
    if kind in (dict, OrderedDict, Counter):
        items = {
            plain_state(key, f"a key of {where}"): plain_state(item, f"{where}[{key!r}]")
            for key, item in value.items()
        }
        # Weights are in an `OrderedDict` that has metadata, so it is not copied without a need.
        return value if _are_same(items.values(), value.values()) else items
    if kind in (list, tuple, set):
        parts = [plain_state(item, f"{where}[{number}]") for number, item in enumerate(value)]
        return value if _are_same(parts, value) else kind(parts)
    raise ConfigError(
        f"a checkpoint cannot have {where}, a {kind.__module__}.{kind.__qualname__}: it would not "
        "be read again without executing it; use numbers, text, tensors, and dicts, lists, tuples "
        "or sets of them"
    )


def _are_same(items: Iterable[Any], others: Iterable[Any]) -> bool:
    return all(item is other for item, other in zip(items, others, strict=True))


def _is_plain(value: Any) -> bool:
    try:
        plain_state(value, "")
    except ConfigError:
        return False
    return True
