"""Parameter groups for weight decay, layer-wise learning rates and Muon."""

from typing import Any

from torch import nn

from clozekit.models.encoder_protocol import EncoderProtocol

Groups = list[dict[str, Any]]
"""Parameter groups of a torch optimizer."""


def training_groups(
    module: nn.Module,
    encoder: EncoderProtocol,
    weight_decay: float = 0.0,
    layerwise_lr_decay: float = 1.0,
    splits_matrices: bool = False,
) -> Groups:
    """Returns the groups of a task's trainable parameters.

    Args:
        module: The task.
        encoder: Its encoder.
        weight_decay: See `parameter_groups`.
        layerwise_lr_decay: The `decay` of `with_layerwise_decay`.
        splits_matrices: Whether the matrices of the encoder's blocks have groups of their own; see
            `with_hidden_matrices`.
    """
    groups = parameter_groups(module, weight_decay)
    if splits_matrices:
        groups = with_hidden_matrices(groups, encoder)
    if layerwise_lr_decay != 1.0:
        groups = with_layerwise_decay(groups, encoder, layerwise_lr_decay)
    return groups


def parameter_groups(module: nn.Module, weight_decay: float) -> Groups:
    """Splits a module's trainable parameters by whether weight decay applies to them.

    Biases and the parameters of normalization layers do not decay: `AdamWeightDecayOptimizer` in
    google-research/bert excludes `LayerNorm` and `bias` by name. A tied weight is listed once.

    Args:
        module: The module to train.
        weight_decay: The weight decay of all other parameters.

    Returns:
        Two groups for a torch optimizer, first the one with decay; empty groups are omitted.
    """
    decaying: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            (decaying if _decays(module, name) else others).append(parameter)
    groups: Groups = [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _decays(module: nn.Module, name: str) -> bool:
    """Whether weight decay applies to a parameter, by its name and that of its layer."""
    path, _, own_name = name.rpartition(".")
    layer = type(module.get_submodule(path)).__name__
    return own_name != "bias" and "norm" not in f"{path.rpartition('.')[2]} {layer}".lower()


def with_hidden_matrices(groups: Groups, encoder: EncoderProtocol) -> Groups:
    """Splits groups into the matrices of the encoder's blocks, which Muon trains, and the rest.

    The matrices are the weights of linear layers. All other parameters, such as embeddings, heads,
    norms and biases, are for AdamW (Jordan et al., 2024; Liu et al., 2025, section 2.2).

    Args:
        groups: Groups for a torch optimizer.
        encoder: The encoder.

    Returns:
        The split groups. `use_muon` says whether a group has matrices; such a group has the number
        of matrices that are stacked in each parameter as `num_matrices`.
    """
    stacked = {
        layer.weight: int(getattr(layer, "num_matrices", 1))
        for block in encoder.blocks
        for layer in block.modules()
        if isinstance(layer, nn.Linear)
    }
    split = []
    for group in groups:
        for number in sorted({stacked.get(p, 0) for p in group["params"]}, reverse=True):
            params = [p for p in group["params"] if stacked.get(p, 0) == number]
            more = {"num_matrices": number} if number else {}
            split.append({**group, "params": params, "use_muon": number > 0, **more})
    return split


def with_layerwise_decay(groups: Groups, encoder: EncoderProtocol, decay: float) -> Groups:
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
