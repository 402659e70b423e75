"""The configuration of `clozekit export`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from clozekit.config.paths import FilePath, PathText
from clozekit.config.stored import TrustedModules
from clozekit.errors import ConfigError


class ExportConfig(BaseModel):
    """Which checkpoint to export, in which format, and where.

    Attributes:
        checkpoint: A run's folder (its best checkpoint, or else its last), or a `.ckpt` file.
        out: The folder to create; it must be empty or not exist.
        format: `transformers`, a folder for `from_pretrained`; `safetensors`, the weights with
            clozekit's parameter names; `onnx`, a model for any batch size and length;
            `sentence_transformers`, the encoder with the pooling of `task=embedding`, or mean
            pooling after another task.
        trusted_modules: Accepted as in the other verbs, but export imports none of them: it writes
            the weights of a custom class without running it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: PathText
    out: FilePath
    format: Literal["transformers", "safetensors", "onnx", "sentence_transformers"] = "transformers"
    trusted_modules: TrustedModules = ()

    def check_out(self) -> None:
        """Checks that `out` is empty or does not exist.

        Raises:
            ConfigError: `out` is not empty.
        """
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise ConfigError(f"out={self.out} is not empty; use another folder")
