"""Pretraining steps of clozekit and of transformers, in turn, by size and length."""

import statistics
from typing import Any

import torch
from cases import SIZES, OurPretraining, TheirPretraining, pretraining_batches, step_flops
from timing import matrix_product_rates, rates, ratios, seconds_in_turn

BATCHES = 2
"""A repetition's; of several, so that not one batch's lengths decide."""


def measure(
    sizes: list[str], lengths: list[int], repetitions: int, dropout: float
) -> list[dict[str, Any]]:
    return [
        measure_one(size, seq_len, repetitions, dropout)
        for size in SIZES
        if size.name in sizes
        for seq_len in lengths
    ]


def measure_one(size: Any, seq_len: int, repetitions: int, dropout: float) -> dict[str, Any]:
    torch.manual_seed(0)
    batches = pretraining_batches(size, seq_len, BATCHES)
    config = size.encoder(dropout)
    ours, theirs = OurPretraining(config), TheirPretraining(config)
    seconds = seconds_in_turn(
        {
            "clozekit": [ours(batch) for batch in batches],
            "transformers": [theirs(batch) for batch in batches],
        },
        repetitions,
    )
    num_tokens = sum(batch.packing.num_tokens for batch in batches)
    num_places = sum(batch.batch_size * batch.packing.max_seqlen for batch in batches)
    flops = sum(step_flops(config, batch) for batch in batches)
    machine = matrix_product_rates()
    figures = {
        "size": size.name,
        "seq_len": seq_len,
        "pairs": size.pairs[seq_len],
        "padding": 1 - num_tokens / num_places,
        "ratio": ratios(seconds["transformers"], seconds["clozekit"]),
        "tokens_per_second": {name: rates(num_tokens, of) for name, of in seconds.items()},
        "matrix_product_rates": machine,
        "flops_per_second": {name: flops / statistics.median(of) for name, of in seconds.items()},
    }
    print(
        f"{size.name:<6}{seq_len:>4}  ratio {figures['ratio']['median']:.2f} "
        f"({figures['ratio']['lowest']:.2f} to {figures['ratio']['highest']:.2f})  "
        + "  ".join(
            f"{name} {figures['tokens_per_second'][name]['median']:,.0f} tokens/s, "
            f"{rate / machine['oneDNN']:.0%} of {machine['oneDNN'] / 1e9:.0f} GFLOP/s"
            for name, rate in figures["flops_per_second"].items()
        ),
        flush=True,
    )
    return figures
