"""`clozekit report`: what a sweep has found, from the folders of its runs."""

from collections.abc import Iterator
from pathlib import Path

from clozekit.config.report import ReportConfig
from clozekit.errors import ConfigError, UserError
from clozekit.files import write_text
from clozekit.sweeps.read_runs import read_runs
from clozekit.sweeps.summary import Summary, summarize
from clozekit.sweeps.sweep_figures import plot_all_curves, plot_values
from clozekit.sweeps.table import FIRST_COLUMNS, REPORT_OF, report_text, results_csv

TEXT_FILE = "report.txt"
CSV_FILE = "results.csv"
VALUES_FILE = "report_values.png"
CURVES_FILE = "report_curves.png"


def report(config: ReportConfig) -> None:
    """Prints what became of runs and which are the best, and writes it into their folder.

    The runs' own files are read alone, so a sweep may still run, or have been killed.

    Raises:
        UserError: There is no run in the folder, a file cannot be read, or not be written.
    """
    folder = config.folder
    summary = summarize(read_runs(folder), config.metric, config.mode)
    text = report_text(summary, folder)
    told = [text]
    try:
        _refuse_others_files(folder)
        told.append(f"{', '.join(_write(summary, text, folder))}: in {folder}")
    except OSError as error:
        raise UserError(f"the report cannot be written: {error}") from error
    finally:
        print("\n".join(told), flush=True)


def _write(summary: Summary, text: str, folder: Path) -> Iterator[str]:
    write_text(folder / TEXT_FILE, text + "\n")
    yield TEXT_FILE
    write_text(folder / CSV_FILE, results_csv(summary))
    yield CSV_FILE
    if plot_values(summary, folder / VALUES_FILE):
        yield VALUES_FILE
    if plot_all_curves(summary, folder / CURVES_FILE):
        yield CURVES_FILE


def _refuse_others_files(folder: Path) -> None:
    """Refuses to write over files of these names that no report has made."""
    for name, beginning in ((TEXT_FILE, REPORT_OF), (CSV_FILE, ",".join(FIRST_COLUMNS))):
        file = folder / name
        if file.is_file():
            with file.open(encoding="utf-8", errors="replace") as opened:
                is_ours = opened.read(len(beginning)) == beginning
            if not is_ours:
                raise ConfigError(f"{file} is there already, and is no report: move it away")
