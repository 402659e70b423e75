"""The floating-point operations of a training step on this process, and their rate."""

from typing import Any

from lightning.fabric.utilities.throughput import Throughput
from lightning.pytorch import Trainer

from clozekit.data.batch import MaskedLMBatch
from clozekit.data.step import StepBatch
from clozekit.models.encoder import Encoder
from clozekit.models.flops import encoder_flops, masked_lm_flops, pooler_flops
from clozekit.tasks.base import TaskModule
from clozekit.training.peak_flops import peak_flops
from clozekit.training.run_summary import PRECISION_DTYPES

BACKWARD = 2
"""A backward pass has two products for each product of the forward pass."""


def step_flops(module: TaskModule[Any], step: StepBatch[Any]) -> int | None:
    """Returns the operations of this process's micro-batches, forward and backward.

    The encoder, its pooling layer and the MLM head are counted; other heads are negligible. What
    activation checkpointing computes again is not counted, as is usual for MFU.

    Returns:
        None for an encoder that is not clozekit's, or if the lengths are only on the device.
    """
    encoder = module.encoder
    if not isinstance(encoder, Encoder):
        return None
    is_trained = any(p.requires_grad for p in encoder.parameters())
    flops = 0
    for batch in step.micro_batches:
        lengths = batch.packing.lengths
        if lengths is None:
            return None
        of_batch = encoder_flops(encoder.config, lengths)
        if encoder.pooler is not None:
            of_batch += pooler_flops(encoder.config, len(lengths))
        flops += of_batch * (1 + BACKWARD if is_trained else 1)
        if isinstance(batch, MaskedLMBatch) and "masked_lm_head" in module.model.heads:
            targets = batch.masked_lm_positions.shape[0]
            flops += masked_lm_flops(encoder.config, targets) * (1 + BACKWARD)
    return flops


class FlopRate:
    """Measures operations per second since the last logged step, with Lightning's `Throughput`.

    Args:
        trainer: The Trainer.
        num_steps: The number of steps between logged steps.
    """

    def __init__(self, trainer: Trainer, num_steps: int) -> None:
        self._throughput = Throughput(
            available_flops=available_flops(trainer),
            world_size=trainer.world_size,
            window_size=num_steps + 1,
        )
        self._steps = 0
        self._throughput.update(time=0.0, batches=0, samples=0, flops=0)

    def add(self, seconds: float, flops: int) -> None:
        """Adds a step.

        Args:
            seconds: The time of training so far.
            flops: The operations of the step on this process.
        """
        self._steps += 1
        self._throughput.update(time=seconds, batches=self._steps, samples=self._steps, flops=flops)

    def metrics(self) -> dict[str, float]:
        """Returns the operations per second of all processes, and MFU if the peak is known.

        MFU (model FLOPs utilization; Chowdhery et al., 2022) is the share of a device's peak.
        """
        computed = self._throughput.compute()
        per_device = computed.get("device/flops_per_sec")
        if per_device is None:
            return {}
        metrics = {"train/flops_per_second": computed.get("flops_per_sec", per_device)}
        if "device/mfu" in computed:
            metrics["train/mfu"] = computed["device/mfu"]
        return metrics


def available_flops(trainer: Trainer) -> float | None:
    """Returns the peak of a device at the run's precision; None if it is unknown, as on a CPU."""
    dtype = PRECISION_DTYPES[str(trainer.precision).partition("-")[0]]
    return peak_flops(trainer.strategy.root_device, dtype)
