"""The groups of `clozekit train` whose keys are fixed and that nothing else uses."""

from typing import Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from clozekit.config.groups import Closed, Component
from clozekit.config.values import Count

COMPILE_CHOICES = (
    "compile=off or compile=default, with compile.mode, .fullgraph, .dynamic and .pad_tokens_to"
)


class OptimizerConfig(Component):
    """An optimizer.

    Attributes:
        lr: The peak learning rate.
        weight_decay: The weight decay of all parameters except biases and norms.
    """

    lr: float = Field(gt=0, allow_inf_nan=False)
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False)


class CompileConfig(Closed):
    """Options of `torch.compile` for the encoder.

    Attributes:
        enabled: Whether to compile the encoder.
        mode: What to optimize for.
        fullgraph: Whether code that cannot be compiled is an error.
        dynamic: Whether to use one graph for all shapes; null to detect which dimensions change.
        pad_tokens_to: Pads the tokens of each training micro-batch to a multiple of this number, so
            that only a few shapes occur, each with a graph of its own; null for no padding.
            Evaluation is then not compiled.
    """

    enabled: bool = False
    mode: Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"] = (
        "default"
    )
    fullgraph: bool = False
    dynamic: bool | None = True
    pad_tokens_to: Count | None = None

    @property
    def uses_cuda_graphs(self) -> bool:
        """Whether the mode records CUDA graphs, on a GPU."""
        return self.mode in ("reduce-overhead", "max-autotune")

    @model_validator(mode="after")
    def _check_padding(self) -> Self:
        if self.enabled and self.uses_cuda_graphs and self.pad_tokens_to is None:
            raise ValueError(
                f"mode={self.mode} records a CUDA graph for each shape, so it needs pad_tokens_to; "
                "compile=reduce_overhead has both"
            )
        return self


class DivergenceConfig(Closed):
    """When training counts as diverged, and what to do then.

    Attributes:
        action: `stop` ends the run before the step changes any weight. `rollback` restores weights
            and optimizer from the last checkpoint and continues with the data after the diverged
            step, so the data in between is skipped.
        max_loss: A larger loss counts as divergence; null for no limit. A loss that is not finite
            always does.
        max_grad_norm: A larger gradient norm counts as divergence; null for no limit.
        max_rollbacks: The maximum number of rollbacks; at the next divergence the run stops.
    """

    action: Literal["stop", "rollback"] = "stop"
    max_loss: float | None = Field(None, gt=0, allow_inf_nan=False)
    max_grad_norm: float | None = Field(None, gt=0, allow_inf_nan=False)
    max_rollbacks: int = Field(3, ge=0)


class FineTuningConfig(Closed):
    """How a pretrained encoder is fine-tuned. By default all weights are trained alike.

    Attributes:
        layerwise_lr_decay: The ratio of each block's learning rate to that of the block above it.
        freeze_encoder: Whether to train only the heads.
        reinit_layers: The number of top blocks to reinitialize.
        reinit_pooler: Whether to reinitialize the pooler.
    """

    layerwise_lr_decay: float = Field(1.0, gt=0, le=1)
    freeze_encoder: bool = False
    reinit_layers: int = Field(0, ge=0, le=1024)
    reinit_pooler: bool = False
