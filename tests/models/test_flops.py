"""The operations by formula are those that torch counts."""

from typing import Any

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.throughput import measure_flops
from torch.nn.attention import SDPBackend, sdpa_kernel

from clozekit.config.encoder import EncoderConfig
from clozekit.models.encoder import Encoder, full_packing
from clozekit.models.flops import encoder_flops, masked_lm_flops, num_attended, pooler_flops
from clozekit.models.heads import MaskedLMHead
from tests.models.batches import tiny_config

LENGTH, BATCH = 12, 3

MODERN: dict[str, Any] = {
    "norm_position": "pre",
    "position_embedding_type": "rotary",
    "gated_feed_forward": True,
    "type_vocab_size": 0,
    "attention_bias": False,
    "mlp_bias": False,
    "norm_bias": False,
    "num_hidden_layers": 3,
}


def counted(config: EncoderConfig, backward: bool = False, pooler: bool = False) -> int:
    """The operations that torch counts for a batch without padding."""
    with torch.device("meta"):
        encoder = Encoder(config, add_pooling_layer=pooler)
        ids = torch.zeros(BATCH, LENGTH, dtype=torch.long)
        packing = full_packing(ids)

    def forward() -> torch.Tensor:
        output = encoder(ids.flatten(), packing=packing)
        return output.pooled_output if pooler else output.sequence_output

    # The plain form of attention has a matrix product for each product.
    with sdpa_kernel(SDPBackend.MATH):
        return measure_flops(encoder, forward, (lambda y: y.sum()) if backward else None)


@pytest.mark.parametrize("parts", [{}, MODERN], ids=["BERT", "modern"])
def test_a_forward_has_the_products_that_torch_counts(parts: dict[str, Any]) -> None:
    config = tiny_config(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **parts)
    lengths = np.full(BATCH, LENGTH)
    assert encoder_flops(config, lengths) == counted(config)
    with_pooler = encoder_flops(config, lengths) + pooler_flops(config, BATCH)
    assert with_pooler == counted(config, pooler=True)


def test_a_backward_has_twice_the_products() -> None:
    config = tiny_config(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    forward = encoder_flops(config, np.full(BATCH, LENGTH))
    assert 3 * forward == pytest.approx(counted(config, backward=True), rel=0.02)


@pytest.mark.parametrize("half_window", [1, 3, 6, 11, 20])
def test_local_attention_counts_the_pairs_within_the_window(half_window: int) -> None:
    lengths = np.array([1, 2, 7, 12])
    places = [np.arange(length) for length in lengths]
    pairs = [int((abs(p[:, None] - p[None]) <= half_window).sum()) for p in places]
    assert num_attended(lengths, half_window) == sum(pairs)
    assert num_attended(lengths) == sum(length**2 for length in lengths)


def test_local_layers_cost_less() -> None:
    local = tiny_config(**MODERN | {"local_attention": 4, "global_attn_every_n_layers": 3})
    everywhere = tiny_config(**MODERN)
    lengths = np.array([LENGTH])
    difference = encoder_flops(everywhere, lengths) - encoder_flops(local, lengths)
    missing = num_attended(lengths) - num_attended(lengths, 2)
    assert difference == 2 * 4 * local.hidden_size * missing


@pytest.mark.parametrize("embedding_size", [None, 8])
def test_the_mlm_head_has_the_products_that_torch_counts(embedding_size: int | None) -> None:
    config = tiny_config(embedding_size=embedding_size)
    with torch.device("meta"):
        encoder = Encoder(config)
        head = MaskedLMHead(config, encoder.embeddings.token_embeddings)
        hidden = torch.zeros(5, config.hidden_size)
    assert masked_lm_flops(config, 5) == measure_flops(head, lambda: head(hidden))
