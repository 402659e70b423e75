"""The configuration of `clozekit export`."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from clozekit.errors import ConfigError


class ExportConfig(BaseModel):
    """Which checkpoint to write in which form, and where.

    Attributes:
        checkpoint: A run's folder, for its best checkpoint (else its last), or a `.ckpt` file.
        out: The folder that is made; it must not hold anything yet.
        format: `transformers`, a folder that its `from_pretrained` loads; `safetensors`, the
            weights by clozekit's own names; `onnx`, for any batch size and length.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: str
    out: Path
    format: Literal["transformers", "safetensors", "onnx"] = "transformers"

    def check_out(self) -> None:
        """Checks that nothing would be overwritten.

        Raises:
            ConfigError: `out` holds something already.
        """
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise ConfigError(f"out={self.out} is not empty: give another folder")
