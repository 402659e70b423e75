"""The number of floating-point operations of a forward pass, by formula.

Only matrix products are counted, with two operations for each multiply-add, and only for real
tokens: padding, norms, activations and embeddings are left out.
"""

import numpy as np
from numpy.typing import NDArray

from clozekit.config.encoder import EncoderConfig


def encoder_flops(config: EncoderConfig, lengths: NDArray[np.integer]) -> int:
    """Returns the operations of the encoder's blocks.

    Args:
        config: The encoder's configuration.
        lengths: `[batch]`, the number of tokens of each sequence.
    """
    hidden = config.hidden_size
    width = config.intermediate_size * (2 if config.gated_feed_forward else 1)
    per_token = 2 * hidden * (4 * hidden + width + config.intermediate_size)
    flops = config.num_hidden_layers * per_token * int(lengths.sum())
    num_local = sum(map(config.has_local_attention, range(config.num_hidden_layers)))
    num_global = config.num_hidden_layers - num_local
    # The scores and the weighted sum of the values.
    per_pair = 4 * hidden
    flops += num_global * per_pair * num_attended(lengths)
    if num_local and config.local_attention is not None:
        half_window = config.local_attention // 2
        flops += num_local * per_pair * num_attended(lengths, half_window)
    return flops


def num_attended(lengths: NDArray[np.integer], half_window: int | None = None) -> int:
    """Returns the number of pairs of a query and a key that it attends to.

    Args:
        lengths: `[batch]`, the number of tokens of each sequence.
        half_window: How many tokens a token sees on each side; None for all of its sequence.
    """
    lengths = lengths.astype(np.int64)
    if half_window is None:
        return int((lengths**2).sum())
    seen = np.clip(lengths - 1, 0, half_window)
    return int((lengths * (1 + 2 * seen) - seen * (seen + 1)).sum())


def masked_lm_flops(config: EncoderConfig, num_targets: int) -> int:
    """Returns the operations of the MLM head on a number of masked tokens."""
    assert config.vocab_size is not None
    size = config.embedding_size or config.hidden_size
    return 2 * size * (config.hidden_size + config.vocab_size) * num_targets


def pooler_flops(config: EncoderConfig, num_sequences: int) -> int:
    """Returns the operations of the pooling layer on a number of sequences."""
    return 2 * config.hidden_size**2 * num_sequences
