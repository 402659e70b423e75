"""The summary printed before training."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from lightning.pytorch import Trainer
from rich.table import Table

from clozekit.config.encoder import EncoderConfig
from clozekit.config.phases import PlannedPhase
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.module import StreamDataModule
from clozekit.data.stream import Phase
from clozekit.models.attention import reason_for_padding
from clozekit.models.encoder import Encoder
from clozekit.output.console import PlainConsole
from clozekit.runs.folder import RunFolder
from clozekit.tasks.base import TaskModule
from clozekit.training import memory

PRECISION_DTYPES = {
    "16": torch.float16,
    "bf16": torch.bfloat16,
    "32": torch.float32,
    "64": torch.float64,
}
"""The dtype of products, by the first part of Lightning's `precision`."""


def print_summary(
    module: TaskModule,  # type: ignore[type-arg]
    encoder: EncoderConfig,
    datamodule: StreamDataModule,
    trainer: Trainer,
    folder: RunFolder,
) -> None:
    """Prints the size of the model, the steps, the batches and the estimated memory."""
    num_parameters = sum(parameter.numel() for parameter in module.parameters())
    phases = datamodule.phases(trainer.max_steps, trainer.global_rank, trainer.world_size)
    planned = datamodule.planned_phases(trainer.max_steps)
    rows = {
        "run": str(folder.path),
        "encoder": f"{encoder.num_hidden_layers} layers, hidden {encoder.hidden_size}, "
        f"{encoder.num_attention_heads} heads, vocabulary {encoder.vocab_size:,}",
        "parameters": f"{num_parameters:,}",
        "steps": _steps(datamodule, trainer),
        "batch": _batch(planned, phases, trainer),
        "precision": f"{trainer.precision} on {trainer.strategy.root_device.type}",
        "attention": _attention(module, encoder, trainer),
        "memory": memory_in_words(
            estimate_memory(module, encoder, datamodule, trainer), trainer.strategy.root_device
        ),
        **({f"phase {p.number}": p.in_words() for p in planned} if len(planned) > 1 else {}),
        **datamodule.facts(),
    }
    print_rows(rows)


def print_rows(rows: Mapping[str, str | None]) -> None:
    """Prints a table of names and values; those that are None are left out."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in rows.items():
        if value is not None:
            table.add_row(name, value)
    PlainConsole(soft_wrap=True).print(table)


def _steps(datamodule: StreamDataModule, trainer: Trainer) -> str:
    """Describes the length of training, in epochs too unless a shard must be fetched for that."""
    if not datamodule.is_local:
        return f"{trainer.max_steps:,}"
    steps_per_epoch = datamodule.steps_per_epoch()
    return (
        f"{trainer.max_steps:,} ({trainer.max_steps / steps_per_epoch:.2f} epochs of "
        f"{steps_per_epoch:,.0f} steps)"
    )


def _batch(planned: Sequence[PlannedPhase], phases: Sequence[Phase], trainer: Trainer) -> str:
    """Describes the global batch and its micro-batches, as ranges if phases differ."""
    settings = [phase.settings for phase in planned]
    samples = _range([each.global_batch_size for each in settings])
    most_tokens = max(each.global_batch_size * each.max_seq_length for each in settings)
    labelled = [p.source for p in phases if isinstance(p.source, LabelledSource)]
    most_tokens *= max((source.most_sequences for source in labelled), default=1)
    accumulation = _range([phase.shape.accumulation for phase in phases])
    return (
        f"{samples} samples per step, at most {most_tokens:,} tokens, split into "
        f"{trainer.world_size} x {accumulation} (processes x micro-batches)"
    )


def _range(values: Sequence[int]) -> str:
    least, most = min(values), max(values)
    return f"{least}" if least == most else f"{least} to {most}"


def _attention(
    module: TaskModule,  # type: ignore[type-arg]
    encoder: EncoderConfig,
    trainer: Trainer,
) -> str | None:
    """Describes how attention is computed; None for an encoder that is not clozekit's."""
    if not isinstance(module.encoder, Encoder):
        return None
    dtype = PRECISION_DTYPES[str(trainer.precision).partition("-")[0]]
    reason = reason_for_padding(encoder, trainer.strategy.root_device, dtype)
    if reason is None:
        return "FlashAttention on packed sequences, without padding"
    return f"on padded sequences, because {reason}"


class MemoryEstimate(NamedTuple):
    """The memory of a process on the CPU, or of its GPU, in bytes.

    Attributes:
        before: Of the program and its data, or of the weights on a GPU.
        states: Of gradients and the optimizer's states.
        activations: Of activations.
    """

    before: int
    states: int
    activations: int


def estimate_memory(
    module: TaskModule,  # type: ignore[type-arg]
    encoder: EncoderConfig,
    datamodule: StreamDataModule,
    trainer: Trainer,
) -> MemoryEstimate:
    """Estimates the memory of a process on the CPU, or of its GPU."""
    assert module.make_optimizer is not None
    states = memory.gradients_and_optimizer(module.optimizer_groups(), module.make_optimizer)
    phases = datamodule.phases(trainer.max_steps, trainer.global_rank, trainer.world_size)
    checkpointing = bool(getattr(module.encoder, "activation_checkpointing", False))
    is_on_cpu = trainer.strategy.root_device.type == "cpu"
    activations = max(
        memory.activations(
            encoder,
            memory.largest_micro_batch([phase])
            if datamodule.is_local
            else memory.most_tokens([phase], length),
            length,
            checkpointing,
            keeps_attention=is_on_cpu,
        )
        for phase in phases
        for length in [phase.max_seq_length or datamodule.max_seq_length]
    )
    if is_on_cpu:
        before = memory.used_so_far() + memory.LOADED_LATER
    else:
        before = sum(p.numel() * p.element_size() for p in module.parameters())
    return MemoryEstimate(before, states, activations)


def memory_in_words(estimate: MemoryEstimate, device: torch.device) -> str:
    """Describes an estimate of memory."""
    what = "of which the program and its data have"
    if device.type != "cpu":
        what = "of the GPU, of which the weights have"
    parts = (sum(estimate), *estimate)
    total, of_program, of_states, of_activations = (f"{p / 2**20:,.0f} MiB" for p in parts)
    return (
        f"about {total} per process, {what} {of_program}, gradients and optimizer {of_states}, and "
        f"activations {of_activations}"
    )
