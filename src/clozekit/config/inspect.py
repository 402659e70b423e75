"""The configuration of `clozekit inspect`: that of a training run, and what to show of its data."""

from typing import Literal, Self

from pydantic import Field, model_validator

from clozekit.config.paths import FilePath
from clozekit.config.train import TrainConfig
from clozekit.errors import ConfigError


class InspectConfig(TrainConfig):
    """The data to look at, with the keys of `clozekit train`, and how much to show.

    The keys that do not concern the data have no effect, so that the command of a run can be
    repeated with `inspect` instead of `train`.

    Attributes:
        examples: The number of examples of each kind to show: documents, samples or rows.
        split: The split to show: `train`, `validation` or `test`.
        out: The HTML page to write; null to print to the terminal.
    """

    name: str = "inspect"
    examples: int = Field(5, ge=1, le=1000)
    split: Literal["train", "validation", "test"] = "train"
    out: FilePath | None = None

    @model_validator(mode="after")
    def _check_training_length(self) -> Self:
        return self  # no step is trained

    def check_out(self) -> None:
        """Checks that `out` does not exist.

        Raises:
            ConfigError: `out` already exists.
        """
        if self.out is not None and self.out.exists():
            raise ConfigError(f"out={self.out} already exists; use another file")
