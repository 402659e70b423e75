"""Which parameters decay."""

from typing import Any

from torch import nn


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Splits a module's trainable parameters by whether weight decay applies to them.

    Biases and normalisation parameters, all of one dimension, do not decay
    (`AdamWeightDecayOptimizer` in google-research/bert excludes `LayerNorm` and `bias` by name). A
    tied weight stands once.

    Args:
        module: The module to be trained.
        weight_decay: The decay of all other parameters.

    Returns:
        Two groups for a torch optimizer, the decaying one first; an empty one is left out.
    """
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
