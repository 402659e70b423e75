"""Prints an inspection to the terminal."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from clozekit.inspection.shown import Bar, Counts, Histogram, Inspection, Part, ShownExample
from clozekit.output.console import PlainConsole
from clozekit.output.display import printable
from clozekit.pages.elements import shortened
from clozekit.pages.marks import Chip

MOST_TOKENS = 96
"""The most tokens of a sequence that are printed; a page has more."""

MOST_CHARACTERS = 400
MOST_OF_TITLE = 100
MOST_BARS = 12
MOST_ROWS = 12

_BAR_WIDTH = 32
_STYLES = {
    "special": "dim",
    "masked": "bold yellow",
    "replaced": "bold red",
    "kept": "bold green",
    "answer": "bold cyan",
    "unknown": "bold magenta",
    "target": "bold",
    "ignored": "dim",
    "second": "blue",
}
"""The style of a token by its classes; the last class that has one counts."""


def print_inspection(inspection: Inspection) -> None:
    """Prints all parts; control characters are printed as escape sequences."""
    console = PlainConsole(soft_wrap=True)
    console.print(Text(printable(inspection.title), style="bold"))
    for part in inspection.parts:
        console.print()
        _print_part(console, part)


def _print_part(console: PlainConsole, part: Part) -> None:
    console.print(Text(printable(part.heading), style="bold underline"))
    if part.facts:
        table = Table(show_header=False, box=None, pad_edge=False)
        for name, value in part.facts.items():
            table.add_row(name, value)
        console.print(table)
    for note in part.notes:
        console.print(printable(note))
    for histogram in part.histograms:
        if histogram.bars:
            _print_bars(console, histogram)
    for counts in part.counts:
        _print_counts(console, counts)
    for example in part.examples:
        console.print()
        for line in _lines(example):
            console.print(line)


def _print_bars(console: PlainConsole, histogram: Histogram) -> None:
    console.print(Text(f"\n{printable(histogram.title)}", style="bold"))
    bars = _fewer(histogram.bars)
    most = max((bar.count for bar in bars), default=0) or 1
    width = max((len(bar.label) for bar in bars), default=0)
    for bar in bars:
        filled = "█" * round(_BAR_WIDTH * bar.count / most) or ("▏" if bar.count else "")
        console.print(f"  {bar.label:>{width}} {filled:<{_BAR_WIDTH}} {bar.count:,}")


def _fewer(bars: tuple[Bar, ...]) -> list[Bar]:
    """Joins neighbouring bars if there are too many."""
    size = -(-len(bars) // MOST_BARS) or 1
    groups = [bars[begin : begin + size] for begin in range(0, len(bars), size)]
    return [Bar(each[0].first, each[-1].last, sum(bar.count for bar in each)) for each in groups]


def _print_counts(console: PlainConsole, counts: Counts) -> None:
    shown = [f"{shortened(name, 60)} {number:,}" for name, number in counts.rows[:MOST_ROWS]]
    if len(counts.rows) > MOST_ROWS:
        shown.append(f"and {len(counts.rows) - MOST_ROWS:,} more")
    console.print(Text(f"\n{printable(counts.title)}", style="bold"))
    console.print(printable(f"  {', '.join(shown)}"))


def _lines(example: ShownExample) -> Iterator[Text]:
    title = Text(printable(shortened(example.title, MOST_OF_TITLE)), style="bold")
    if example.hint:
        title.append(f"  {printable(example.hint)}", style="dim not bold")
    yield title
    for shown in example.texts:
        line = Text(f"  {printable(shown.name)}: ", style="dim")
        line.append(printable(shortened(shown.text, MOST_CHARACTERS)), style="not dim")
        yield line
    for sequence in example.sequences:
        line = Text(f"  {printable(sequence.title)}: ", style="dim")
        for token in sequence.tokens[:MOST_TOKENS]:
            line.append_text(_token(token))
            line.append(" ")
        if len(sequence.tokens) > MOST_TOKENS:
            line.append(f"… {len(sequence.tokens) - MOST_TOKENS:,} more tokens", style="dim")
        yield line


def _token(token: Chip) -> Text:
    styles = [_STYLES[kind] for kind in token.kinds if kind in _STYLES]
    shown = Text(printable(token.text), style=f"not dim {styles[-1] if styles else ''}".strip())
    if token.note:
        shown.append(f"={printable(token.note)}")
    return shown
