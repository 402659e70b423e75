"""The two files in which a run of a sweep reports its validations, and the sweep answers.

The run writes a report and waits for the answer to it, so that how far a run gets depends on
metrics alone, not on time.
"""

import math
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError

from clozekit.documents import read_json_object
from clozekit.errors import DataError
from clozekit.files import write_json

ASKS = "CLOZEKIT_SWEEP_PRUNES"
"""The environment variable that is 1 in the jobs of a sweep that answers."""

REPORT_FILE = "pruning_report.json"
ANSWER_FILE = "pruning_answer.json"

FileT = TypeVar("FileT", bound=BaseModel)


def _nan_for_null(value: object) -> object:
    """JSON has no numbers that are not finite, so null is written for one."""
    return math.nan if value is None else value


class Report(BaseModel):
    """The metrics of a validation during training.

    Attributes:
        step: The number of steps done.
        max_steps: The number of steps of the whole run.
        metrics: The metrics by name.
    """

    step: int
    max_steps: int
    metrics: dict[str, Annotated[float, BeforeValidator(_nan_for_null)]]


class Answer(BaseModel):
    """The answer to a report.

    Attributes:
        step: The step of the report.
        prune: Whether the run ends here.
    """

    step: int
    prune: bool


def write_report(folder: Path, report: Report) -> None:
    """Writes a report to a run's folder."""
    write_json(folder / REPORT_FILE, report.model_dump())


def read_report(folder: Path) -> Report | None:
    """Reads the last report of a run; None if there is none.

    Raises:
        DataError: The file cannot be read.
    """
    return _read(folder / REPORT_FILE, Report)


def write_answer(folder: Path, answer: Answer) -> None:
    """Writes the answer to a run's folder."""
    write_json(folder / ANSWER_FILE, answer.model_dump())


def read_answer(folder: Path) -> Answer | None:
    """Reads the last answer to a run; None if there is none.

    Raises:
        DataError: The file cannot be read.
    """
    return _read(folder / ANSWER_FILE, Answer)


def _read(file: Path, kind: type[FileT]) -> FileT | None:
    values = read_json_object(file)
    if not values:
        return None
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise DataError(f"{file} cannot be read: {error.errors()[0]['msg']}") from None
