"""Checkpoint files: what is in them beside Lightning's own, and how they are written and read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from tokenizers import Tokenizer
from torch import Tensor

from clozekit.errors import DataError
from clozekit.files import write_atomically
from clozekit.runs.old_formats import OLDEST_FORMAT, translated, with_counts_of_steps

FORMAT_VERSION = 3
META_KEY = "clozekit"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames, so that a file is whole or is not there.

    Lightning stages through the system's temporary folder, which may be another file system, and
    does not wait for the disk.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Saves a checkpoint; the old file of that name stays until the new one is on disk.

        Raises:
            DataError: The disk is full, or the folder cannot be written.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with write_atomically(target) as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:
            # torch reports a full disk as a RuntimeError.
            kept = "the checkpoint that was there is kept" if target.exists() else "there is none"
            raise DataError(f"{target}: it cannot be written ({error}); {kept}") from error

    def load_checkpoint(self, path: str | Path, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Loads a checkpoint as Lightning goes on from it, of an older format too."""
        content = super().load_checkpoint(path, *arguments, **options)
        if content.get(META_KEY, {}).get("format_version") == 2:
            content["loops"] = with_counts_of_steps(content["loops"], content["global_step"])
        return content


class CheckpointMeta(Callback):
    """Puts what a checkpoint needs to be read on its own into it, in plain containers.

    Args:
        config: The run's resolved configuration.
        tokenizer: The run's tokenizer, as JSON.
        data_hash: What names the training data, where it has a name.
        task_arguments: What the task's constructor was told of the data, such as its classes.
    """

    def __init__(
        self,
        config: dict[str, Any],
        tokenizer: str,
        data_hash: str | None = None,
        task_arguments: dict[str, Any] | None = None,
    ) -> None:
        self.meta = {
            "format_version": FORMAT_VERSION,
            "config": config,
            "tokenizer": tokenizer,
            "data_hash": data_hash,
            "task_arguments": task_arguments or {},
        }

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds the record."""
        checkpoint[META_KEY] = self.meta


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        path: The file.
        step: The number of optimizer steps that were done.
        config: The configuration of its run.
        state_dict: The task module's weights.
        tokenizer_json: Its tokenizer.
        task_arguments: What its task's constructor was told of the data.
        data_hash: What names its training data, where it has a name.
    """

    path: Path
    step: int
    config: dict[str, Any]
    state_dict: dict[str, Tensor]
    tokenizer_json: str
    task_arguments: dict[str, Any]
    data_hash: str | None

    @property
    def label_names(self) -> list[str] | None:
        """Its classes, where its task has any."""
        return self.task_arguments.get("label_names")

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the run read text with."""
        return Tokenizer.from_str(self.tokenizer_json)

    def weights(self, prefix: str) -> dict[str, Tensor]:
        """Gives the weights whose names begin with `prefix`, without it."""
        return {
            name.removeprefix(prefix): value
            for name, value in self.state_dict.items()
            if name.startswith(prefix)
        }


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a checkpoint, or the best (else the last) one of a run's folder.

    Only tensors and plain containers are read; a file that holds anything else is refused. Of an
    older format, the configuration is translated.

    Raises:
        DataError: There is none, or it is no checkpoint of clozekit, or its format cannot be read.
    """
    file = find_checkpoint(Path(path))
    try:
        # Mapped, for of several checkpoints only one is then read.
        content = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:
        raise DataError(f"{file}: it is not a whole checkpoint ({type(error).__name__})") from error
    meta = content.get(META_KEY) if isinstance(content, dict) else None
    if meta is None:
        raise DataError(f"{file}: it is not a checkpoint of clozekit")
    if meta["format_version"] > FORMAT_VERSION:
        raise DataError(
            f"{file}: its format version {meta['format_version']} is newer than {FORMAT_VERSION}, "
            "the newest that this version of clozekit reads"
        )
    if meta["format_version"] < OLDEST_FORMAT:
        raise DataError(
            f"{file}: its format version {meta['format_version']} is older than {OLDEST_FORMAT}, "
            "the oldest that this version of clozekit reads"
        )
    return Checkpoint(
        path=file,
        step=content["global_step"],
        config=translated(meta["config"], meta["format_version"]),
        state_dict=content["state_dict"],
        tokenizer_json=meta["tokenizer"],
        task_arguments=meta["task_arguments"],
        data_hash=meta["data_hash"],
    )


def find_checkpoint(path: Path) -> Path:
    """Finds the checkpoint file that a path means.

    Raises:
        DataError: There is none.
    """
    if path.is_file():
        return path
    candidates = [path / "checkpoints" / name for name in ("best.ckpt", "last.ckpt")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise DataError(f"{path}: there is no checkpoint; a run's folder or a .ckpt file is needed")
