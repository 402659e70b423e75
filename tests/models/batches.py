"""Small configurations and random packed batches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clozekit.config.encoder import EncoderConfig
from clozekit.data.packing import Packing

RAGGED = (7, 12, 1, 5)
FULL = (9, 9, 9)


def tiny_config(**changes: Any) -> EncoderConfig:
    """Two blocks of four heads; every size differs from the others."""
    sizes: dict[str, Any] = {
        "vocab_size": 50,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 16,
        "type_vocab_size": 2,
    }
    return EncoderConfig(**(sizes | changes))


def without_dropout(**changes: Any) -> EncoderConfig:
    return tiny_config(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **changes)


@dataclass
class PackedBatch:
    input_ids: Tensor
    token_type_ids: Tensor
    packing: Packing
    masked_lm_positions: Tensor
    masked_lm_labels: Tensor
    next_sentence_label: Tensor


def packed_batch(lengths: tuple[int, ...] = RAGGED, num_segments: int = 2) -> PackedBatch:
    """Random ids without 0, which transformers' BERT takes for padding."""
    draw = np.random.default_rng(len(lengths))
    packing = Packing.from_lengths(np.array(lengths))
    num_tokens = sum(lengths)
    positions = np.sort(draw.choice(num_tokens, num_tokens // 4 + 1, replace=False))
    return PackedBatch(
        input_ids=torch.from_numpy(draw.integers(1, 50, num_tokens)),
        token_type_ids=torch.from_numpy(draw.integers(0, num_segments, num_tokens)),
        packing=packing,
        masked_lm_positions=torch.from_numpy(positions),
        masked_lm_labels=torch.from_numpy(draw.integers(1, 50, len(positions))),
        next_sentence_label=torch.from_numpy(draw.integers(0, 2, len(lengths))),
    )
