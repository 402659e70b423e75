"""Which parameters decay."""

from typing import Any

from torch import nn

from clozekit.models.encoder_protocol import EncoderProtocol


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


def with_layerwise_decay(
    groups: list[dict[str, Any]], encoder: EncoderProtocol, decay: float
) -> list[dict[str, Any]]:
    """Splits groups by depth, and gives deeper parts of the encoder a smaller learning rate.

    The heads and the pooler learn at the full rate, the top block at `decay` times it, each block
    below at `decay` times the rate of the one above, the embeddings at that of a further block
    (Howard and Ruder, 2018, section 3.2; Clark et al., 2020, appendix A, for BERT's form).

    Args:
        groups: Groups for a torch optimizer.
        encoder: The encoder; other parameters are those of heads.
        decay: The factor from a block to the one below.

    Returns:
        The groups, split, each with the `lr_scale` that its learning rate is to be multiplied with.
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
