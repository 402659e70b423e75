"""Formats a summary: the table for the terminal, and the rows of `results.csv`."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from clozekit.output.display import printable
from clozekit.sweeps.comparability import files_that_changed, keys_that_change
from clozekit.sweeps.read_runs import Outcome, as_text
from clozekit.sweeps.summary import SEED, Setting, Summary, command_to_repeat

WIDTH = 120
"""The maximum width of the table in characters. Further metrics are only in `results.csv`."""

BETWEEN = "  "
REPORT_OF = "report of "
FIRST_COLUMNS = ("run", "status")


def report_text(summary: Summary, folder: Path) -> str:
    """Returns the whole report."""
    return "\n".join(
        [
            _headline(summary, folder),
            "",
            *_table(summary),
            *_comparability(summary),
            *_ends(summary),
            *_beginnings(summary),
            *_repetition(summary),
        ]
    )


def _headline(summary: Summary, folder: Path) -> str:
    runs, settings = summary.runs, summary.settings
    finished = len(summary.named(Outcome.FINISHED))
    line = f"{REPORT_OF}{folder}: {finished} of {_count(len(runs), 'run')} finished"
    if len(settings) > 1:
        line += f", {len(settings)} settings"
    if summary.criterion is None:
        return line
    better = "lower" if summary.criterion.mode == "min" else "higher"
    order = "sorted by" if len(settings) > 1 else "metric"
    return f"{line}, {order} {summary.criterion.metric} ({better} is better)"


def _table(summary: Summary) -> Iterator[str]:
    columns = [
        [key, *(as_text(setting.values[index]) for setting in summary.settings)]
        for index, key in enumerate(summary.keys)
    ]
    if any(len(setting.runs) > 1 for setting in summary.settings):
        columns.append(["runs", *map(_finished, summary.settings)])
    left_out = []
    for number, name in enumerate(summary.metrics):
        column = [name, *(_spread(setting, name) for setting in summary.settings)]
        if number == 0 or _width([*columns, column]) <= WIDTH:
            columns.append(column)
        else:
            left_out.append(name)
    if columns:
        yield from _aligned(columns)
        yield ""
    if any(len(setting.runs) > 1 for setting in summary.settings):
        yield "±: standard deviation over runs that differ only in the seed"
    if repeated := [name for setting in summary.settings for name in setting.repeated()]:
        yield (
            f"{', '.join(map(printable, repeated))} {'has' if len(repeated) == 1 else 'have'} the "
            "seed of another run of the same setting; each seed counts once"
        )
    if left_out:
        yield f"only in results.csv: {', '.join(left_out)}"


def _comparability(summary: Summary) -> Iterator[str]:
    if changed := files_that_changed(summary.runs):
        yield (
            f"{', '.join(map(printable, changed))} changed between these runs, so their values "
            "cannot be compared"
        )
    if summary.criterion is None or len(summary.settings) < 2:
        return
    metric = summary.criterion.metric
    changing = keys_that_change(metric, summary.keys, summary.runs)
    if changing:
        verb = "changes" if len(changing) == 1 else "change"
        yield (
            f"{', '.join(changing)} {verb} what {metric} measures, so its values for different "
            "settings cannot be compared"
        )


def _finished(setting: Setting) -> str:
    finished = [run for run in setting.runs if run.outcome == Outcome.FINISHED]
    return f"{len(finished)}/{len(setting.runs)}"


def _spread(setting: Setting, metric: str) -> str:
    mean, deviation = setting.mean(metric), setting.deviation(metric)
    if mean is None:
        return "-"
    return f"{mean:.4g}" if deviation is None else f"{mean:.4g} ± {deviation:.2g}"


def _aligned(columns: Sequence[Sequence[str]]) -> Iterator[str]:
    shown = [[printable(cell) for cell in column] for column in columns]
    widths = [max(map(len, column)) for column in shown]
    for row in zip(*shown, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield BETWEEN.join(cells).rstrip()


def _width(columns: Sequence[Sequence[str]]) -> int:
    return sum(max(map(len, column)) for column in columns) + len(BETWEEN) * (len(columns) - 1)


def _ends(summary: Summary) -> Iterator[str]:
    for outcome in Outcome:
        names = summary.named(outcome)
        if names and outcome != Outcome.FINISHED:
            yield f"{outcome} ({len(names)}): {', '.join(names)}"


def _beginnings(summary: Summary) -> Iterator[str]:
    by_parent: dict[tuple[str, int], list[str]] = {}
    for run in summary.runs:
        if run.parent is not None:
            by_parent.setdefault(run.parent, []).append(run.name)
    for (parent, step), names in by_parent.items():
        yield f"from step {step} of {parent}: {', '.join(names)}"


def _repetition(summary: Summary) -> Iterator[str]:
    best = summary.best()
    command = None if best is None else command_to_repeat(best)
    if best is None or command is None:
        return
    assert summary.criterion is not None
    metric = summary.criterion.metric
    which = "the best run, " if len(summary.runs) > 1 else ""
    yield f"to repeat {which}{best.name} ({metric} {best.metrics[metric]:.4g}):"
    yield f"  {command}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def results_csv(summary: Summary) -> str:
    """Returns one row per run, best setting first, with the swept values and all metrics."""
    keys = [*summary.keys, *([SEED] if summary.has_seeds else [])]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*FIRST_COLUMNS, *keys, *summary.metrics])
    for run in summary.runs:
        values = [as_text(run.value(key)) for key in keys]
        metrics = [run.metrics.get(name, "") for name in summary.metrics]
        writer.writerow([run.name, run.outcome, *values, *metrics])
    return text.getvalue()
