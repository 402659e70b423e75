"""The history of a run in `metrics.csv`: one row per logged step and split."""

import csv
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger

from clozekit.errors import DataError
from clozekit.files import append_text, name_path, write_text_atomically
from clozekit.runs.folder import set_aside
from clozekit.runs.metrics_file import STEP, read_rows


class CSVHistory(Logger):
    """Writes every row immediately, so that a killed run keeps its history.

    A resumed run removes the rows after the checkpoint's step and writes them again. Metrics that
    the file already has for that step itself, such as the validation of a run that was killed just
    after it, are not written twice.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)
        self._columns: list[str] | None = None
        self._already_written: set[tuple[int | None, str]] = set()

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

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Appends a row."""
        if all((step, metric) in self._already_written for metric in metrics):
            return
        row: dict[str, Any] = {STEP: step, **metrics}
        if self._columns is None:
            self._columns = _columns(self.path) or [STEP]
        new = [name for name in metrics if name not in self._columns]
        if new:
            self._columns += new
            _write(self.path, self._columns, read_rows(self.path))
        try:
            with append_text(self.path) as file:
                csv.DictWriter(file, self._columns).writerow(row)
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


def _write(path: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    with write_text_atomically(path) as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
