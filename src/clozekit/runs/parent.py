"""The parent of a run in its record: the run that it began from. torch is not imported."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from clozekit.errors import DataError
from clozekit.runs.folder import RunFolder

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
