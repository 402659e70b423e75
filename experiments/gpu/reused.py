"""What the benchmark on the CPU has already, from experiments/throughput."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "throughput"))

from cases import IGNORED, drawn_batches, padded_inputs, reference_config, step_flops
from shards import SPECIAL_TOKENS, VOCAB_SIZE
from timing import spread

__all__ = [
    "IGNORED",
    "SPECIAL_TOKENS",
    "VOCAB_SIZE",
    "drawn_batches",
    "padded_inputs",
    "reference_config",
    "spread",
    "step_flops",
]
