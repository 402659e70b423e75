"""Checkpoint files: clozekit's metadata in them, and how they are written and read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from tokenizers import Tokenizer
from torch import Tensor

from clozekit.config.stored.plain import plain_copy, shown
from clozekit.corpus.tokenizers.tokenizer_files import tokenizer_from_json
from clozekit.errors import DataError, UnreadableError
from clozekit.files import write_atomically
from clozekit.interop.foreign_files import (
    check_archive,
    check_tensors,
    refuse_foreign_file,
    refuse_pickle,
)
from clozekit.runs.old_formats import OLDEST_FORMAT, translated, with_counts_of_steps
from clozekit.runs.plain_state import plain_checkpoint, plain_state

FORMAT_VERSION = 3
META_KEY = "clozekit"

PartT = TypeVar("PartT")


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically: to a temporary file in the same folder, which is then renamed.

    Lightning writes to the system's temporary folder, which may be on another file system, and does
    not sync the file to disk.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Saves a checkpoint. An existing file is kept until the new one is on disk.

        Raises:
            ConfigError: It has an object that could not be read again.
            DataError: The disk is full, or the folder cannot be written.
        """
        checkpoint = plain_checkpoint(checkpoint)
        target = Path(path)
        kept = "; the previous checkpoint is kept" if target.exists() else ""
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with write_atomically(target) as file:
                writer: Any = _Writer(file)
                try:
                    torch.save(checkpoint, writer)
                except RuntimeError:
                    if writer.error is None:
                        raise
                    raise writer.error from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataError(f"{target} cannot be written: {reason}{kept}") from error

    def load_checkpoint(self, path: str | Path, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Loads a checkpoint for Lightning to resume from, and converts older formats."""
        content = super().load_checkpoint(path, *arguments, **options)
        if content.get(META_KEY, {}).get("format_version") == 2:
            content["loops"] = with_counts_of_steps(content["loops"], content["global_step"])
        return content


class _Writer:
    """Passes data on to a file and keeps the error of a full disk.

    torch closes its archive after the error, and reports only that the archive is incomplete.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.name = file.name
        self.error: OSError | None = None
        self._file = file

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        self._file.flush()


class CheckpointMeta(Callback):
    """Adds the metadata that is needed to read a checkpoint without its run, in plain containers.

    Args:
        config: The run's resolved configuration.
        tokenizer: The run's tokenizer, as JSON.
        data_hash: The hash of the training data, if known.
        task_arguments: Arguments of the task's constructor that depend on the data, such as its
            classes.
        run_id: The id of the run.
    """

    def __init__(
        self,
        config: dict[str, Any],
        tokenizer: str,
        data_hash: str | None = None,
        task_arguments: dict[str, Any] | None = None,
        run_id: str | None = None,
    ) -> None:
        self.meta = {
            "format_version": FORMAT_VERSION,
            "config": config,
            "tokenizer": tokenizer,
            "data_hash": data_hash,
            "task_arguments": task_arguments or {},
            "run_id": run_id,
        }

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks the states of callbacks, which would fail only when a checkpoint is saved.

        Raises:
            ConfigError: A state has an object that could not be read again.
        """
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            plain_state(callback.state_dict(), f"callbacks[{callback.state_key!r}]")

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds the metadata."""
        checkpoint[META_KEY] = self.meta


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint.

    Attributes:
        path: The file.
        step: The number of optimizer steps done.
        config: The configuration of its run.
        state_dict: The weights of the task module.
        tokenizer_json: The tokenizer, as JSON.
        task_arguments: Arguments of the task's constructor that depend on the data.
        data_hash: The hash of its training data, if known.
        run_id: The id of its run, if known.
        parts: The names of all parts of the file.
    """

    path: Path
    step: int
    config: dict[str, Any]
    state_dict: dict[str, Tensor]
    tokenizer_json: str
    task_arguments: dict[str, Any]
    data_hash: str | None
    run_id: str | None = None
    parts: frozenset[str] = frozenset()

    @property
    def label_names(self) -> list[str] | None:
        """The classes of its task, if any."""
        return self.task_arguments.get("label_names")

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of its run.

        Raises:
            DataError: It is not a tokenizer with the five special tokens.
        """
        return tokenizer_from_json(self.tokenizer_json, f"the tokenizer in {self.path}")

    def group(self, name: str) -> dict[str, Any]:
        """Returns a group of the configuration, which must have a `_target_`.

        Raises:
            DataError: The configuration has no such group.
        """
        group = self.config.get(name)
        if not isinstance(group, dict) or not isinstance(group.get("_target_"), str):
            raise DataError(f"{self.path} is damaged: its configuration has no {name}._target_")
        return group

    def weights(self, prefix: str) -> dict[str, Tensor]:
        """Returns the weights whose names start with `prefix`, with the prefix removed."""
        return {
            name.removeprefix(prefix): value
            for name, value in self.state_dict.items()
            if name.startswith(prefix)
        }


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Loads a checkpoint file, or the best (else the last) checkpoint of a run's folder.

    Only tensors and plain containers are loaded; a file with other objects is rejected. The
    configuration of an older format is converted.

    Raises:
        DataError: There is no checkpoint, or it is damaged or not from clozekit.
        UnreadableError: The file or its format cannot be read here.
    """
    file = find_checkpoint(Path(path))
    try:
        refuse_foreign_file(file)
        check_archive(file)
        # Memory-mapped, so that comparing the steps of several checkpoints does not read weights.
        content = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    except DataError:
        raise
    except OSError as error:
        raise UnreadableError(f"{file} cannot be read: {error.strerror or error}") from error
    except Exception as error:
        refuse_pickle(file, error)
        raise DataError(f"{file} is not a complete checkpoint ({type(error).__name__})") from error
    meta = content.get(META_KEY) if isinstance(content, dict) else None
    if meta is None:
        raise DataError(f"{file} is not a clozekit checkpoint")
    version = _part(file, meta, "format_version", int, "a number")
    _check_version(file, version)
    config = plain_copy(_part(file, meta, "config", dict, "a mapping"), file)
    task_arguments = _part(file, meta, "task_arguments", dict, "a mapping")
    data_hash = meta.get("data_hash")
    if not isinstance(data_hash, str | None):
        raise DataError(f"{file} is damaged: data_hash is {shown(data_hash)}, it should be text")
    step = _part(file, content, "global_step", int, "a number")
    if step < 0:
        raise DataError(f"{file} is damaged: global_step={step} is negative")
    _check_position(file, content, step)
    return Checkpoint(
        path=file,
        step=step,
        config=translated(config, version),
        state_dict=check_tensors(file, _part(file, content, "state_dict", dict, "a mapping")),
        tokenizer_json=_part(file, meta, "tokenizer", str, "text"),
        task_arguments=plain_copy(task_arguments, file),
        data_hash=data_hash,
        parts=frozenset(map(str, content)),
        run_id=meta.get("run_id"),
    )


def _check_position(file: Path, content: dict[str, Any], step: int) -> None:
    """Checks that the position in the data is that of the weights."""
    for part in content.values():
        position = part.get("position") if isinstance(part, dict) else None
        found = position.get("step") if isinstance(position, dict) else None
        if found is not None and found != step:
            raise DataError(
                f"{file} is damaged: its position in the data is step {shown(found)}, but its "
                f"global_step is {step}"
            )


def _check_version(file: Path, version: int) -> None:
    which = ""
    if version > FORMAT_VERSION:
        which = f"up to {FORMAT_VERSION}"
    elif version < OLDEST_FORMAT:
        which = f"from {OLDEST_FORMAT} on"
    if which:
        raise UnreadableError(
            f"{file} has format version {version}, but this version of clozekit reads format "
            f"versions {which}"
        )


def _part(file: Path, values: Any, name: str, kind: type[PartT], called: str) -> PartT:
    """Returns a part of a checkpoint, of the kind that it must be."""
    if not isinstance(values, dict) or name not in values:
        raise DataError(f"{file} is damaged: it has no {name}")
    value = values[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(f"{file} is damaged: {name} is {shown(value)}, it should be {called}")
    return value


def find_checkpoint(path: Path) -> Path:
    """Returns the checkpoint file of a path: the file itself, or the best or last one in a run.

    Raises:
        DataError: There is no checkpoint.
    """
    if path.is_file():
        return path
    candidates = [path / "checkpoints" / name for name in ("best.ckpt", "last.ckpt")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise DataError(f"{path} is neither a .ckpt file nor a run's folder with a checkpoint")
