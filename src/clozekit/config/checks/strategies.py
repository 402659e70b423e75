"""The strategies of Lightning's Trainer: which of them the training step supports, and why."""

from collections.abc import Iterable
from typing import Any

STRATEGIES = (
    "auto",
    "ddp",
    "ddp_find_unused_parameters_false",
    "ddp_find_unused_parameters_true",
)
"""The names of strategies that the training step supports."""

_SHARDING = (
    "it distributes the model over GPUs, which gains nothing here: weights, gradients and "
    "optimizer state of BERT-large in float32 are 5.4 GB; use trainer=ddp"
)
_STARTS = (
    "its processes must be started by Lightning, torchrun or Slurm; use trainer=ddp without "
    "start_method"
)
_ONLY_DDP = "runs use a single device or DDP; use trainer=gpu or trainer=ddp"

REFUSED_CLASSES = {
    "FSDPStrategy": _SHARDING,
    "ModelParallelStrategy": _SHARDING,
    "DeepSpeedStrategy": _SHARDING,
    "XLAFSDPStrategy": _SHARDING,
    "SingleDeviceXLAStrategy": _ONLY_DDP,
    "SingleTPUStrategy": _ONLY_DDP,
    "XLAStrategy": _ONLY_DDP,
}
"""Strategies of Lightning that are not supported. Subclasses are not either."""

_REFUSED_NAMES = {
    "fsdp": _SHARDING,
    "deepspeed": _SHARDING,
    "xla_fsdp": _SHARDING,
    "ddp_spawn": _STARTS,
    "ddp_fork": _STARTS,
    "ddp_notebook": _STARTS,
}
"""The beginnings of names of strategies that are not supported."""


def check_strategy(strategy: Any) -> None:
    """Checks the key `trainer.strategy`.

    Args:
        strategy: A name, or a group with `_target_`.

    Raises:
        ValueError: The strategy or one of its options is not supported.
    """
    if isinstance(strategy, str) and strategy not in STRATEGIES:
        found = [why for name, why in _REFUSED_NAMES.items() if strategy.startswith(name)]
        reason = found[0] if found else f"use {', '.join(STRATEGIES)}"
        raise ValueError(f"trainer.strategy={strategy} is not supported: {reason}")
    if isinstance(strategy, dict):
        target = str(strategy.get("_target_", ""))
        check_strategy_class(target, [target.rpartition(".")[2]])
        if strategy.get("start_method", "popen") != "popen":
            raise ValueError(
                f"trainer.strategy.start_method={strategy['start_method']} is not supported: "
                f"{_STARTS}"
            )
        if strategy.get("broadcast_buffers"):
            raise ValueError(
                "trainer.strategy.broadcast_buffers=true is not supported: a process without a "
                "validation batch would not join the broadcast, and the others would wait for it"
            )
        if strategy.get("static_graph"):
            raise ValueError(
                "trainer.strategy.static_graph=true is not supported: in the first step it would "
                "reduce the gradients of the first micro-batch only"
            )


def check_strategy_class(target: str, names: Iterable[str]) -> None:
    """Checks a strategy by the names of its class and of the classes that it is derived from.

    Raises:
        ValueError: It is one that is not supported.
    """
    for name in names:
        if name in REFUSED_CLASSES:
            raise ValueError(f"trainer.strategy={target} is not supported: {REFUSED_CLASSES[name]}")
