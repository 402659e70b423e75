"""Prints the results of a benchmark and writes them to its folder."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from clozekit.benchmarks.figure import plot_results
from clozekit.benchmarks.record import BenchmarkRecord, read_benchmark
from clozekit.benchmarks.results import BenchmarkResults, read_results
from clozekit.benchmarks.tables import notes_of, results_csv, results_json, table_of
from clozekit.files import write_json, write_text
from clozekit.output.console import PlainConsole
from clozekit.output.display import say
from clozekit.output.figures import drawn

CSV_FILE = "results.csv"
JSON_FILE = "results.json"
PICTURE = "results.png"
WIDEST = 1000
"""The maximum width of the table in characters, if it is not printed to a terminal."""


def report_benchmark(folder: Path, record: BenchmarkRecord | None = None) -> BenchmarkResults:
    """Prints the table of a benchmark, and writes the table, all scores and the picture.

    It only reads the files of the jobs, so the benchmark may still be running, or have been killed.

    Args:
        folder: The benchmark's folder.
        record: The benchmark; None to read it from the folder.

    Raises:
        UserError: A file cannot be read.
    """
    results = read_results(folder, read_benchmark(folder) if record is None else record)
    table, console = table_of(results), PlainConsole(soft_wrap=True)
    if not console.is_terminal:
        wide = console.options.update(width=WIDEST)
        console.width = max(console.width, console.measure(table, options=wide).maximum)
    console.print(table)
    for note in notes_of(results):
        say(note)
    say(f"wrote {', '.join(_write(results, folder))} to {folder}")
    return results


def _write(results: BenchmarkResults, folder: Path) -> Iterator[str]:
    write_text(folder / CSV_FILE, results_csv(results))
    yield CSV_FILE
    write_json(folder / JSON_FILE, results_json(results))
    yield JSON_FILE
    if drawn(folder / PICTURE, partial(plot_results, results)):
        yield PICTURE
