"""The configuration of `clozekit export`."""

from typing import Literal

from clozekit.config.groups import Closed
from clozekit.config.paths import FilePath, PathText
from clozekit.config.stored.classes import TrustedModules


class ExportConfig(Closed):
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

    checkpoint: PathText
    out: FilePath
    format: Literal["transformers", "safetensors", "onnx", "sentence_transformers"] = "transformers"
    trusted_modules: TrustedModules = ()
