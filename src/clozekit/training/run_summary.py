"""The summary printed before training."""

from lightning.pytorch import Trainer
from rich.table import Table

from clozekit.config.encoder import EncoderConfig
from clozekit.console import PlainConsole
from clozekit.data.module import StreamDataModule
from clozekit.runs.folder import RunFolder
from clozekit.tasks.base import TaskModule

BYTES_OF_ADAM = 16
"""A float32 parameter, its gradient and Adam's two moments."""


def print_summary(
    module: TaskModule,  # type: ignore[type-arg]
    encoder: EncoderConfig,
    datamodule: StreamDataModule,
    trainer: Trainer,
    folder: RunFolder,
) -> None:
    """Prints the size of the model, the steps, the batches and the estimated memory."""
    num_parameters = sum(parameter.numel() for parameter in module.parameters())
    max_seq_length = datamodule.max_seq_length
    steps_per_epoch = datamodule.steps_per_epoch()
    phases = datamodule.phases(trainer.max_steps, trainer.global_rank, trainer.world_size)
    accumulation = max(phase.shape.accumulation for phase in phases)
    memory = num_parameters * BYTES_OF_ADAM + activation_bytes(
        encoder, datamodule.micro_batch_tokens
    )
    rows = {
        "run": str(folder.path),
        "encoder": f"{encoder.num_hidden_layers} layers, hidden {encoder.hidden_size}, "
        f"{encoder.num_attention_heads} heads, vocabulary {encoder.vocab_size:,}",
        "parameters": f"{num_parameters:,}",
        "steps": f"{trainer.max_steps:,} ({trainer.max_steps / steps_per_epoch:.2f} epochs of "
        f"{steps_per_epoch:,.0f} steps)",
        "batch": f"{datamodule.global_batch_size} samples per step, at most "
        f"{datamodule.global_batch_size * max_seq_length:,} tokens, split into "
        f"{trainer.world_size} x {accumulation} (processes x micro-batches)",
        "precision": f"{trainer.precision} on {trainer.strategy.root_device.type}",
        "memory": f"about {memory / 2**20:,.0f} MiB per process for weights, Adam and activations",
        **datamodule.facts(),
    }
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in rows.items():
        table.add_row(name, value)
    PlainConsole(soft_wrap=True).print(table)


def activation_bytes(encoder: EncoderConfig, num_tokens: int) -> int:
    """Estimates the memory of activations in bytes: the float32 tensors of each layer for backward.

    Per token and layer, it counts the inputs of the linear layers and norms, the fused QKV, and the
    input and output of the activation. Fused attention kernels do not store the attention matrix.
    """
    per_token = 10 * encoder.hidden_size + 2 * encoder.intermediate_size
    return 4 * num_tokens * per_token * (encoder.num_hidden_layers + 1)
