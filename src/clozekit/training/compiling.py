"""Compiles the encoder of a task as the configuration says."""

from typing import Any

from torch import nn

from clozekit.config.train_groups import CompileConfig
from clozekit.models.static_shapes import StaticEncoder
from clozekit.tasks.base import TaskModule


def compile_encoder(module: TaskModule[Any], config: CompileConfig) -> None:
    """Compiles the encoder; the names of its weights stay the same.

    With padding, only training is compiled. Evaluation, whose batches differ more, is not padded.
    """
    if not config.enabled:
        return
    options = {"mode": config.mode, "fullgraph": config.fullgraph, "dynamic": config.dynamic}
    if config.pad_tokens_to is None:
        module.encoder.compile(**options)
        return
    assert isinstance(module.encoder, nn.Module)
    module.model.static_encoder = StaticEncoder(module.encoder, config.pad_tokens_to, **options)
    module.keeps_gradients = config.uses_cuda_graphs
