"""A run that begins at a checkpoint of another run, its parent."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clozekit.config.length import LENGTHS
from clozekit.errors import ConfigError, DataError
from clozekit.files import copy_atomically
from clozekit.runs.checkpoint_file import Checkpoint
from clozekit.runs.folder import RunFolder, run_of
from clozekit.runs.resume import all_resumable
from clozekit.storage.urls import is_url

RECORD_KEY = "parent"
"""The key of the parent in `run.json`."""


@dataclass(frozen=True)
class Parent:
    """The run that another run began from.

    Attributes:
        run: The parent's folder.
        id: The parent's id, if known.
        step: The step of its checkpoint, at which the new run began.
        has_new_schedule: Whether the new run has another schedule or another length, so that its
            decay begins at that step.
    """

    run: str
    id: str | None
    step: int
    has_new_schedule: bool

    def as_record(self) -> dict[str, Any]:
        """Returns the entry of `run.json`."""
        return {RECORD_KEY: asdict(self)}


def checkpoint_of_parent(from_run: str, from_step: int | None) -> Checkpoint:
    """Loads the checkpoint of another run that a new run begins from.

    Args:
        from_run: The folder of the other run.
        from_step: The step; None for the last one.

    Raises:
        ConfigError: `from_run` is not a folder of a run, or has no checkpoint of this step.
        DataError: No checkpoint of the run has what training needs.
    """
    folder = Path(from_run)
    if is_url(from_run) or not (folder / "checkpoints").is_dir():
        raise ConfigError(f"from_run={from_run} should be the folder of a run with checkpoints")
    found = all_resumable(folder)
    if not found:
        raise DataError(
            f"from_run={from_run} has no complete checkpoint to continue from; a checkpoint of "
            "weights alone is used with encoder.pretrained"
        )
    if from_step is None:
        return max(found, key=_age)
    at_step = [checkpoint for checkpoint in found if checkpoint.step == from_step]
    if not at_step:
        steps = ", ".join(map(str, sorted({checkpoint.step for checkpoint in found})))
        raise ConfigError(
            f"from_step={from_step}: {folder / 'checkpoints'} has checkpoints of steps {steps}; "
            "callbacks.checkpoints.save_top_k=-1 keeps one of each validation"
        )
    return max(at_step, key=_age)


def _age(checkpoint: Checkpoint) -> tuple[int, bool]:
    # Of several checkpoints of a step, `last` is the newest.
    return checkpoint.step, checkpoint.path.stem == "last"


def parent_of(checkpoint: Checkpoint, config: Mapping[str, Any]) -> Parent:
    """Describes the run of a checkpoint as the parent of a new run.

    Args:
        checkpoint: The checkpoint.
        config: The new run's configuration, in plain containers.
    """
    saved = checkpoint.config
    schedule = saved.get("schedule")
    is_same = isinstance(schedule, dict) and schedule == config["schedule"]
    is_same &= all(saved.get(key) == config[key] for key in LENGTHS)
    folder = run_of(checkpoint.path)
    run = checkpoint.path.parent.parent if folder is None else folder.path
    return Parent(str(run), checkpoint.run_id, checkpoint.step, has_new_schedule=not is_same)


def recorded_parent(folder: RunFolder) -> Parent | None:
    """Reads the parent from a run's record; None if it has none.

    Raises:
        DataError: The entry is damaged.
    """
    entry = (folder.read_record() or {}).get(RECORD_KEY)
    if entry is None:
        return None
    kinds = {"run": str, "id": str | None, "step": int, "has_new_schedule": bool}
    is_whole = isinstance(entry, dict) and all(
        isinstance(entry.get(key), kind) for key, kind in kinds.items()
    )
    if not is_whole:
        raise DataError(f"{folder.record_file} is damaged: {RECORD_KEY} is not a run and a step")
    return Parent(**{key: entry[key] for key in kinds})


def continue_history(parent: Parent, folder: RunFolder) -> None:
    """Copies the history of the parent, so that the curves of the new run continue it.

    The rows after the checkpoint's step are removed when the logger is opened.
    """
    history = RunFolder(Path(parent.run)).metrics_file
    if history.is_file() and not folder.metrics_file.exists():
        copy_atomically(history, folder.metrics_file)
