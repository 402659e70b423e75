"""A run that begins at a checkpoint of another run, its parent."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clozekit.config.schedule import ScheduleConfig, restarted
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
        decay_from: The step at which the schedule was restarted: that of the checkpoint, or an
            earlier one if the run continues the parent's restarted schedule. None if it was not.
    """

    run: str
    id: str | None
    step: int
    decay_from: int | None = None

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


def parent_of(checkpoint: Checkpoint) -> Parent:
    """Describes the run of a checkpoint as the parent of a new run, whose schedule is not known."""
    folder = run_of(checkpoint.path)
    run = checkpoint.path.parent.parent if folder is None else folder.path
    return Parent(str(run), checkpoint.run_id, checkpoint.step)


def decay_from(
    source: Checkpoint, schedule: ScheduleConfig, max_steps: int, steps_of_parent: int | None
) -> int | None:
    """Returns the step at which the schedule of a new run is restarted; None if it is not.

    It is the step of the checkpoint, unless the schedule and the length are those of the parent.
    The parent may have restarted its schedule itself: then the new run continues that decay.

    Args:
        source: The checkpoint of the parent.
        schedule: The schedule that the new run is given.
        max_steps: The last step of the new run.
        steps_of_parent: The last step of the parent, if known.

    Raises:
        DataError: The record of the parent is damaged.
    """
    folder = run_of(source.path)
    before = None if folder is None else recorded_parent(folder)
    begun = None if before is None else before.decay_from
    if max_steps != steps_of_parent:
        return source.step
    try:
        continued = schedule if begun is None else restarted(schedule, begun, max_steps)
    except ValueError:  # a decay of more steps than are left
        return source.step
    is_same = source.config.get("schedule") == continued.model_dump(mode="json", by_alias=True)
    return begun if is_same else source.step


def recorded_parent(folder: RunFolder) -> Parent | None:
    """Reads the parent from a run's record; None if it has none.

    Raises:
        DataError: The entry is damaged.
    """
    entry = (folder.read_record() or {}).get(RECORD_KEY)
    if entry is None:
        return None
    kinds = {"run": str, "id": str | None, "step": int}
    is_whole = isinstance(entry, dict) and all(
        isinstance(entry.get(key), kind) for key, kind in kinds.items()
    )
    if not is_whole:
        raise DataError(f"{folder.record_file} is damaged: {RECORD_KEY} is not a run and a step")
    return Parent(**{key: entry[key] for key in kinds}, decay_from=decay_from_of(entry))


def decay_from_of(entry: Mapping[str, Any]) -> int | None:
    """Reads `decay_from` from the entry of a record, which once said only whether there is one."""
    step = entry.get("decay_from", entry.get("step") if entry.get("has_new_schedule") else None)
    return step if isinstance(step, int) else None


def continue_history(parent: Parent, folder: RunFolder) -> None:
    """Copies the history of the parent, so that the curves of the new run continue it.

    The rows after the checkpoint's step are removed when the logger is opened.
    """
    history = RunFolder(Path(parent.run)).metrics_file
    if history.is_file() and not folder.metrics_file.exists():
        copy_atomically(history, folder.metrics_file)
