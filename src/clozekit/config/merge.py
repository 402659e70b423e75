"""The configuration of `clozekit merge`."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from clozekit.config.paths import FilePath, PathText
from clozekit.errors import ConfigError

Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class MergeConfig(BaseModel):
    """Which checkpoints to average, and where to write the result.

    Attributes:
        checkpoints: Two or more runs' folders (the best checkpoint of each, or else its last), or
            `.ckpt` files. They have the same encoder, task, classes, tokenizer and dtype.
        out: The folder to create; it must be empty or not exist. It can be used like the folder of
            a run, except that training cannot resume from it: use `encoder.pretrained`.
        weights: The weight of each checkpoint in the mean, in the same order; null for equal
            weights. They are divided by their sum.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

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

    def check_out(self) -> None:
        """Checks that `out` is empty or does not exist.

        Raises:
            ConfigError: `out` is not empty.
        """
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise ConfigError(f"out={self.out} is not empty; use another folder")
