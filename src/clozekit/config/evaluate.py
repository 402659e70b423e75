"""The configuration of `clozekit evaluate`."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PositiveInt

from clozekit.errors import ConfigError


class EvaluateConfig(BaseModel):
    """Which model to judge on which rows.

    Attributes:
        checkpoint: A run's folder, for its best checkpoint (else its last), a `.ckpt` file, or a
            model of transformers.
        input: A file of labelled rows; null for a split of the run's own data.
        split: That split; null for `test` where there is one, else `validation`.
        out: The folder that is made for what comes out; null for one in the run's folder.
        data_options: How rows are read, where not as in training: arguments of the model's
            DataModule, such as `{text_column: review}`.
        task_options: Arguments of its task, such as `{no_answer_threshold: 1.5}`.
        batch_size: The most sequences of one forward pass.
        device: A device of torch; `auto` for a GPU where there is one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: str
    input: str | None = None
    split: Literal["validation", "test"] | None = None
    out: Path | None = None
    data_options: dict[str, Any] | None = None
    task_options: dict[str, Any] | None = None
    batch_size: PositiveInt = 32
    device: str = "auto"


def check_out(out: Path) -> None:
    """Checks that nothing would be overwritten.

    Raises:
        ConfigError: The folder holds something already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"out={out} is not empty: give another folder")
