"""Text with marked parts, and sequences of tokens."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from clozekit.pages.elements import Html, element, isolated, text

NUM_COLOURS = 8
"""The number of colours that the style sheet has for types."""


@dataclass(frozen=True)
class Mark:
    """A marked part of a text.

    Attributes:
        start: The index of its first character.
        end: The index after its last character.
        label: What it is, shown after it; empty for no label.
        kind: A class of the style sheet: `gold`, `predicted`, or `colour-0` and so on.
    """

    start: int
    end: int
    label: str
    kind: str


def marked(value: str, marks: Iterable[Mark]) -> Html:
    """Makes a text with marked parts, which may overlap."""
    used = [mark for mark in marks if 0 <= mark.start < mark.end <= len(value)]
    bounds = sorted({0, len(value), *(m.start for m in used), *(m.end for m in used)})
    parts: list[Html] = []
    for start, end in pairwise(bounds):
        around = [mark for mark in used if mark.start <= start and end <= mark.end]
        part = text(value[start:end])
        if around:
            labels = [element("small", m.label) for m in around if m.end == end and m.label]
            classes = " ".join(dict.fromkeys(mark.kind for mark in around))
            part = element("mark", part, *labels, class_=classes)
        parts.append(part)
    return element("bdi", *parts, dir="auto", class_="prose")


def colour(number: int) -> str:
    """Returns the class of the colour of a type with this number."""
    return f"colour-{number % NUM_COLOURS}"


@dataclass(frozen=True)
class Chip:
    """A token, or a word, with a remark below.

    Attributes:
        text: The text.
        note: The remark, such as a tag.
        kinds: Classes of the style sheet, such as `special`, `masked` or `second`.
    """

    text: str
    note: str = ""
    kinds: tuple[str, ...] = ()


def chips(tokens: Sequence[Chip]) -> Html:
    """Makes a line of tokens."""
    return element("div", *(_chip(token) for token in tokens), class_="chips", dir="auto")


def _chip(token: Chip) -> Html:
    note = element("small", isolated(token.note)) if token.note else Html()
    return element("span", isolated(token.text), note, class_=" ".join(("chip", *token.kinds)))
