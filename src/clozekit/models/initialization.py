"""Initial weights."""

from torch import nn


def init_weights(module: nn.Module, initializer_range: float) -> None:
    """Initialises every linear, embedding and LayerNorm layer of a module, in place.

    As in `create_initializer` of google-research/bert: weights are drawn from a normal
    distribution of mean 0, truncated at two standard deviations. Biases are 0, and LayerNorm's
    scales are 1.

    Args:
        module: The module; its submodules are initialised too.
        initializer_range: The standard deviation of the normal distribution before truncation.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Embedding):
            limit = 2 * initializer_range
            nn.init.trunc_normal_(layer.weight, std=initializer_range, a=-limit, b=limit)
        if isinstance(layer, nn.LayerNorm):
            nn.init.ones_(layer.weight)
        if isinstance(layer, nn.Linear | nn.LayerNorm) and layer.bias is not None:
            nn.init.zeros_(layer.bias)


def init_classifier(layer: nn.Linear, initializer_range: float) -> None:
    """Initialises the last layer of a fine-tuning task, in place.

    The weights are drawn from a normal distribution without truncation, as in transformers;
    google-research/bert truncates here too. Truncated weights are an eighth smaller, and a tagger
    learns less in a short training (`experiments/finetune_tasks`). The bias is 0.

    Args:
        layer: The layer that computes a task's logits.
        initializer_range: The standard deviation.
    """
    nn.init.normal_(layer.weight, std=initializer_range)
    nn.init.zeros_(layer.bias)
