"""`clozekit report`: compares the runs of a sweep, from their folders."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from clozekit.benchmarks.record import is_benchmark
from clozekit.benchmarks.report import report_benchmark
from clozekit.config.report import ReportConfig
from clozekit.errors import ConfigError, UserError
from clozekit.files import write_text
from clozekit.output.display import printable, say
from clozekit.output.figures import drawn
from clozekit.sweeps.read_runs import read_runs
from clozekit.sweeps.summary import Summary, summarize
from clozekit.sweeps.sweep_figures import plot_all_curves, plot_values
from clozekit.sweeps.table import FIRST_COLUMNS, REPORT_OF, report_text, results_csv

TEXT_FILE = "report.txt"
CSV_FILE = "results.csv"
VALUES_FILE = "report_values.png"
CURVES_FILE = "report_curves.png"


def report(config: ReportConfig) -> None:
    """Prints the outcomes of runs and their ranking, and writes them to the folder.

    It only reads the runs' own files, so the sweep may still be running, or have been killed.

    Raises:
        UserError: The folder contains no run, or a file cannot be read or written.
    """
    folder = config.folder
    if is_benchmark(folder):
        given = {"metric": config.metric} if config.mode == "auto" else {"mode": config.mode}
        for key, value in given.items():
            if value is not None:
                raise ConfigError(
                    f"{key}={value}: {folder} is a benchmark, whose tasks have metrics of their own"
                )
        report_benchmark(folder)
        return
    summary = summarize(read_runs(folder), config.metric, config.mode)
    # Names and values may come from someone else.
    text = "\n".join(map(printable, report_text(summary, folder).split("\n")))
    lines = [text]
    try:
        _check_existing_reports(folder)
        lines.append(f"wrote {', '.join(_write(summary, text, folder))} to {folder}")
    except OSError as error:
        raise UserError(f"the report cannot be written: {error}") from error
    finally:
        say("\n".join(lines))


def _write(summary: Summary, text: str, folder: Path) -> Iterator[str]:
    write_text(folder / TEXT_FILE, text + "\n")
    yield TEXT_FILE
    write_text(folder / CSV_FILE, results_csv(summary))
    yield CSV_FILE
    for name, plot in ((VALUES_FILE, plot_values), (CURVES_FILE, plot_all_curves)):
        if drawn(folder / name, partial(plot, summary)):
            yield name


def _check_existing_reports(folder: Path) -> None:
    """Checks that existing files with these names are reports, before they are overwritten.

    Nothing in a picture says whose it is. It is taken for that of a report if a report's text is
    beside it, which is written first.
    """
    for name, beginning in ((TEXT_FILE, REPORT_OF), (CSV_FILE, ",".join(FIRST_COLUMNS))):
        file = folder / name
        if file.is_file():
            with file.open(encoding="utf-8", errors="replace") as opened:
                is_ours = opened.read(len(beginning)) == beginning
            if not is_ours:
                raise ConfigError(f"{file} already exists and is not a report; move it away")
    for name in (VALUES_FILE, CURVES_FILE):
        if (folder / name).is_file() and not (folder / TEXT_FILE).is_file():
            raise ConfigError(
                f"{folder / name} already exists without a {TEXT_FILE}, so it is not a report's "
                "picture; move it away"
            )
