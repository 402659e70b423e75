"""The most memory that pretraining steps take, each program in a process of its own.

Beside it what autograd keeps of a forward for its backward, which is exact.

python experiments/throughput/memory.py clozekit base 128
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from cases import OurPretraining, TheirPretraining, pretraining_batches, size_named

STEPS = 3
PROGRAMS = {
    "clozekit": OurPretraining,
    "clozekit, activation checkpointing": OurPretraining,
    "transformers": TheirPretraining,
}
BYTES_OF_ADAM = 16
"""A float32 weight, its gradient, and Adam's two moments."""


def measure(size: str, seq_len: int) -> dict[str, Any]:
    """Measures every program; tells what is beside weights, gradients and Adam, too."""
    figures: dict[str, Any] = {"size": size, "seq_len": seq_len, "mib": {}}
    for program in PROGRAMS:
        command = [sys.executable, str(Path(__file__)), program, size, str(seq_len)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        figures["mib"][program] = json.loads(output.splitlines()[-1])
    peaks = {program: of["process"] for program, of in figures["mib"].items()}
    beside = {program: of["beside_weights"] for program, of in figures["mib"].items()}
    kept = {program: of["kept_for_backward"] for program, of in figures["mib"].items()}
    shares = {"share": peaks, "share_beside_weights": beside, "share_kept_for_backward": kept}
    for name, of in shares.items():
        figures[name] = {program: mib / of["transformers"] for program, mib in of.items()}
    for program, share in figures["share"].items():
        print(
            f"memory of {size}, {seq_len}: {program} {peaks[program]:,.0f} MiB, {share:.0%} of "
            f"transformers'; beside weights, gradients and Adam {beside[program]:,.0f} MiB, "
            f"{figures['share_beside_weights'][program]:.0%}; kept for backward "
            f"{kept[program]:,.0f} MiB, {figures['share_kept_for_backward'][program]:.0%}",
            flush=True,
        )
    return figures


def peak_of(program: str, size_name: str, seq_len: int) -> dict[str, float]:
    size = size_named(size_name)
    batches = pretraining_batches(size, seq_len, STEPS)
    torch.manual_seed(0)
    before = _peak()
    steps = PROGRAMS[program](size.encoder(dropout=0.1))
    if "checkpointing" in program:
        steps.model.encoder.activation_checkpointing = True
    for batch in batches:
        steps(batch)()
    fixed = sum(p.numel() for p in steps.model.parameters()) * BYTES_OF_ADAM / 2**20
    peak = _peak()
    return {
        "process": peak,
        "beside_weights": peak - before - fixed,
        "kept_for_backward": kept_for_backward(steps, batches[0]),
    }


def kept_for_backward(steps: Any, batch: Any) -> float:
    """Adds up what autograd keeps of a step's forward, but for the weights."""
    weights = {p.untyped_storage().data_ptr() for p in steps.model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        steps.loss(batch)
    return sum(storage.nbytes() for storage in kept.values()) / 2**20


def _peak() -> float:
    """Reads the high-water mark of Linux; getrusage would tell the parent's from before exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10


if __name__ == "__main__":
    print(json.dumps(peak_of(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
