"""Writes an inspection as a page."""

from collections.abc import Iterator

from clozekit.inspection.shown import Counts, Inspection, Part, ShownExample
from clozekit.pages.charts import histogram
from clozekit.pages.elements import Html, element, joined, shortened
from clozekit.pages.layout import card, facts, named, notes, page, table
from clozekit.pages.marks import Chip, chips, marked

MOST_CHARACTERS = 20_000
"""The most characters of a text on the page."""

MOST_OF_TITLE = 200
MOST_TOKENS = 2048
"""The most tokens of a sequence on the page."""

LEGEND = (
    Chip("special", kinds=("special",)),
    Chip("first segment"),
    Chip("second segment", kinds=("second",)),
    Chip("[MASK]", "the token to predict", ("masked",)),
    Chip("replaced", "the token to predict", ("replaced",)),
    Chip("unchanged", "unchanged", ("kept",)),
    Chip("answer", kinds=("answer",)),
    Chip("predicted", "its tag", ("target",)),
    Chip("##without", kinds=("ignored",)),
    Chip("[UNK]", kinds=("unknown",)),
)
"""A token of each kind."""


def inspection_page(inspection: Inspection) -> str:
    """Returns the page."""
    sections = [(part.heading, _part(part)) for part in inspection.parts]
    used = {kind for part in inspection.parts for kind in _kinds(part)}
    shown = [chip for chip in LEGEND if not chip.kinds or used.intersection(chip.kinds)]
    if used:
        sections.append(("Colours", chips(shown)))
    return page(inspection.title, "The data as the model gets it", sections)


def _part(part: Part) -> Html:
    content = [facts(part.facts)] if part.facts else []
    if part.notes:
        content.append(notes(part.notes))
    content += [
        joined(
            (
                element("h3", each.title),
                histogram([(bar.label, bar.count) for bar in each.bars], each.title),
            )
        )
        for each in part.histograms
        if each.bars
    ]
    content += [_counts(counts) for counts in part.counts]
    content += [_example(example) for example in part.examples]
    return joined(content)


def _counts(counts: Counts) -> Html:
    rows = [(shortened(name, 200), f"{number:,}") for name, number in counts.rows]
    return table((counts.title, "number"), rows, numbers=(1,))


def _example(example: ShownExample) -> Html:
    content = []
    for shown in example.texts:
        text = shortened(shown.text, MOST_CHARACTERS)
        marks = [mark for mark in shown.marks if mark.end <= MOST_CHARACTERS]
        content.append(named(shown.name, marked(text, marks)))
    for sequence in example.sequences:
        tokens = sequence.tokens[:MOST_TOKENS]
        title = sequence.title
        if len(tokens) < len(sequence.tokens):
            title += f", of which {len(tokens):,} are shown"
        content.append(named(title, chips(tokens)))
    return card(shortened(example.title, MOST_OF_TITLE), *content, hint=example.hint)


def _kinds(part: Part) -> Iterator[str]:
    for example in part.examples:
        for sequence in example.sequences:
            for token in sequence.tokens:
                yield from token.kinds
