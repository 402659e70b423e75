"""The history of a run in `metrics.csv`: one row per logged step and split."""

import csv
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger
from torch import Tensor

from clozekit.errors import DataError
from clozekit.files import append_text, name_path, write_text_atomically
from clozekit.output.display import printable
from clozekit.runs.folder import set_aside
from clozekit.runs.metrics_file import STEP, number_in, read_rows


class CSVHistory(Logger):
    """Writes every row immediately, so that a killed run keeps its history.

    A resumed run removes the rows after the checkpoint's step and writes them again. Metrics that
    the file already has for that step itself, such as the validation of a run that was killed just
    after it, are not written twice.

    A row that is logged without a step has that of the run, as by Lightning's `self.log`. As with
    Lightning's `CSVLogger`, values may be text: it is written in quotes, and control characters in
    it as escape sequences.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)
        self._columns: list[str] | None = None
        self._already_written: set[tuple[int, str]] = set()
        self._last_step = 0
        self._steps_of_run: Callable[[], int] | None = None

    @property
    def name(self) -> str:
        """The logger's name."""
        return "csv"

    @property
    def version(self) -> str:
        """Empty: a run has one history."""
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> "CSVHistory":
        """The logger itself."""
        return self

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the configuration is in the run's folder."""

    def follow(self, steps_of_run: Callable[[], int]) -> None:
        """Sets what gives the step of a row that is logged without one.

        Args:
            steps_of_run: Returns the number of steps that the run has done. Without it, such a row
                has the step of the row before.
        """
        self._steps_of_run = steps_of_run

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Appends a row."""
        cells = {printable(name): _cell(value) for name, value in metrics.items() if name != STEP}
        if step is None:
            step = self._last_step if self._steps_of_run is None else self._steps_of_run()
        self._last_step = step = int(step)
        if all((step, name) in self._already_written for name in cells):
            return
        if self._columns is None:
            self._columns = _columns(self.path) or [STEP]
        new = [name for name in cells if name not in self._columns]
        if new:
            self._columns += new
            _write(self.path, self._columns, read_rows(self.path))
        try:
            with append_text(self.path) as file:
                file.write(_line(self._columns, {STEP: str(step), **cells}))
        except OSError as error:
            name_path(error, self.path)
            raise

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Removes the rows after a step, and a row that a kill left incomplete.

        A file that is no history is renamed, and a new one is begun.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.is_file():
            return
        try:
            rows = read_rows(self.path)
        except DataError:
            set_aside(self.path)
            return
        kept = [row for row in rows if int(row[STEP]) <= step]
        self._last_step = int(kept[-1][STEP]) if kept else 0
        _write(self.path, _columns(self.path) or [STEP], kept)
        self._already_written = {
            (step, name) for row in kept if int(row[STEP]) == step for name in row if row[name]
        }


def _columns(path: Path) -> list[str]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        header = file.readline()
    return next(csv.reader([header])) if header.endswith("\n") else []


def _write(path: Path, columns: list[str], rows: Iterable[Mapping[str, str]]) -> None:
    with write_text_atomically(path) as file:
        csv.writer(file).writerow(columns)
        file.writelines(_line(columns, row) for row in rows)


def _cell(value: Any) -> str:
    if isinstance(value, Tensor):
        value = value.item()
    return "" if value is None else printable(str(value))


def _line(columns: Iterable[str], row: Mapping[str, str]) -> str:
    return ",".join(_quoted(row.get(name, "")) for name in columns) + "\r\n"


def _quoted(cell: str) -> str:
    """Puts text in quotes, which tell it from a number that a kill has cut."""
    if not cell or number_in(cell) is not None:
        return cell
    return '"' + cell.replace('"', '""') + '"'
