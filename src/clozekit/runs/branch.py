"""A run that begins at a checkpoint of another run, its parent."""

from pathlib import Path

from clozekit.config.schedule import ScheduleConfig, restarted
from clozekit.errors import ConfigError, DataError
from clozekit.files import copy_atomically
from clozekit.runs.checkpoint_file import Checkpoint
from clozekit.runs.folder import RunFolder, run_of
from clozekit.runs.parent import Parent, recorded_parent
from clozekit.runs.resume import all_resumable
from clozekit.storage.urls import is_url


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


def continue_history(parent: Parent, folder: RunFolder) -> None:
    """Copies the history of the parent, so that the curves of the new run continue it.

    The rows after the checkpoint's step are removed when the logger is opened.
    """
    history = RunFolder(Path(parent.run)).metrics_file
    if history.is_file() and not folder.metrics_file.exists():
        copy_atomically(history, folder.metrics_file)
