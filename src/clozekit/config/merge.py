"""The configuration of `clozekit merge`."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from clozekit.config.groups import Closed
from clozekit.config.paths import FilePath, PathText

Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class MergeConfig(Closed):
    """Which checkpoints to average, and where to write the result.

    Attributes:
        checkpoints: Two or more runs' folders (the best checkpoint of each, or else its last), or
            `.ckpt` files. They have the same encoder, task, classes, tokenizer and dtype.
        out: The folder to create; it must be empty or not exist. It can be used like the folder of
            a run, except that training cannot resume from it: use `encoder.pretrained`.
        weights: The weight of each checkpoint in the mean, in the same order; null for equal
            weights. They are divided by their sum.
    """

    checkpoints: tuple[PathText, ...] = Field(min_length=2)
    out: FilePath
    weights: tuple[Weight, ...] | None = None

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if self.weights is not None and len(self.weights) != len(self.checkpoints):
            raise ValueError(
                f"weights has {len(self.weights)} values; it should have one for each of the "
                f"{len(self.checkpoints)} checkpoints"
            )
        return self
