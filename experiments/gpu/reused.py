"""What the benchmark on the CPU has already, from experiments/throughput."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "throughput"))

from cases import TheirPretraining, pairs_of, reference_config, step_flops  # noqa: E402
from shards import SPECIAL_TOKENS, VOCAB_SIZE, drawn_shard  # noqa: E402
from timing import spread  # noqa: E402

__all__ = [
    "SPECIAL_TOKENS",
    "VOCAB_SIZE",
    "TheirPretraining",
    "drawn_shard",
    "pairs_of",
    "reference_config",
    "spread",
    "step_flops",
]
