"""Parameter groups for weight decay and layer-wise learning rates."""

from typing import Any

from torch import nn

from clozekit.models.encoder_protocol import EncoderProtocol


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Splits a module's trainable parameters by whether weight decay applies to them.

    One-dimensional parameters (biases and normalisation) do not decay: `AdamWeightDecayOptimizer`
    in google-research/bert excludes `LayerNorm` and `bias` by name. A tied weight is listed once.

    Args:
        module: The module to train.
        weight_decay: The weight decay of all other parameters.

    Returns:
        Two groups for a torch optimizer, first the one with decay; empty groups are omitted.
    """
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def with_layerwise_decay(
    groups: list[dict[str, Any]], encoder: EncoderProtocol, decay: float
) -> list[dict[str, Any]]:
    """Splits groups by depth and gives lower layers of the encoder a smaller learning rate.

    The heads and the pooler keep the full rate. The top block has `decay` times this rate, each
    block below `decay` times the rate of the block above, and the embeddings the rate of one more
    block below (Howard and Ruder, 2018, section 3.2; Clark et al., 2020, appendix A, for BERT).

    Args:
        groups: Groups for a torch optimizer.
        encoder: The encoder; all other parameters belong to heads.
        decay: The factor from each block to the block below.

    Returns:
        The split groups, each with the factor of its learning rate as `lr_scale`.
    """
    num_blocks = len(encoder.blocks)
    depth_of: dict[nn.Parameter, int] = {}
    for number, block in enumerate(encoder.blocks):
        depth_of |= dict.fromkeys(block.parameters(), num_blocks - number)
    depth_of |= dict.fromkeys(encoder.embeddings.parameters(), num_blocks + 1)
    split = []
    for group in groups:
        for depth in range(num_blocks + 2):
            params = [p for p in group["params"] if depth_of.get(p, 0) == depth]
            if params:
                split.append({**group, "params": params, "lr_scale": decay**depth})
    return split
