"""What an inspection shows, in a form for the terminal and for a page."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clozekit.pages.marks import Chip, Mark

NUM_BARS = 24
"""The most bars of a histogram."""


@dataclass(frozen=True)
class ShownText:
    """A text as it stands in the data.

    Attributes:
        name: What it is, such as `question`.
        text: The text.
        marks: Its marked parts, such as answers.
    """

    name: str
    text: str
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class ShownSequence:
    """A sequence of tokens as the model gets it.

    Attributes:
        title: What it is, such as `window 1 of 3, 128 tokens`.
        tokens: The tokens, with what the model has to predict.
    """

    title: str
    tokens: tuple[Chip, ...]


@dataclass(frozen=True)
class ShownExample:
    """A document, a sample of pretraining, or a labelled row.

    Attributes:
        title: Its name.
        hint: What is said beside the title.
        texts: Its texts and labels.
        sequences: Its sequences.
    """

    title: str
    hint: str = ""
    texts: tuple[ShownText, ...] = ()
    sequences: tuple[ShownSequence, ...] = ()


@dataclass(frozen=True)
class Bar:
    """How often values are in a range.

    Attributes:
        first: The smallest value of the range.
        last: The largest.
        count: The number of values.
    """

    first: str
    last: str
    count: int

    @property
    def label(self) -> str:
        """The range in words."""
        return self.first if self.first == self.last else f"{self.first} to {self.last}"


@dataclass(frozen=True)
class Histogram:
    """How often values are in each of some ranges.

    Attributes:
        title: What is counted.
        bars: The ranges.
    """

    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Counts:
    """How often there is each of some things.

    Attributes:
        title: What is counted.
        rows: The name and the count of each, the most frequent first.
    """

    title: str
    rows: tuple[tuple[str, int], ...]


@dataclass
class Part:
    """A part of an inspection.

    Attributes:
        heading: The heading.
        facts: Names and values.
        notes: Remarks, such as on a problem.
        histograms: Histograms.
        counts: Tables of counts.
        examples: Examples.
    """

    heading: str
    facts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    histograms: list[Histogram] = field(default_factory=list)
    counts: list[Counts] = field(default_factory=list)
    examples: list[ShownExample] = field(default_factory=list)


@dataclass(frozen=True)
class Inspection:
    """What is shown of the data of a run.

    Attributes:
        title: The title.
        parts: The parts.
    """

    title: str
    parts: Sequence[Part]


def histogram(
    title: str, values: NDArray[np.integer[Any]] | NDArray[np.floating[Any]]
) -> Histogram:
    """Counts values in ranges of equal width; of whole numbers if the values are."""
    if not len(values):
        return Histogram(title, ())
    low, high = values.min().item(), values.max().item()
    if np.issubdtype(values.dtype, np.integer):
        width = max(1, -(-(high - low + 1) // NUM_BARS))
        edges = np.arange(low, high + width + 1, width)
        counts, _ = np.histogram(values, edges - 0.5)
        ends = np.minimum(edges[1:] - 1, high)
        names = [(f"{a:,}", f"{b:,}") for a, b in zip(edges[:-1], ends, strict=True)]
    else:
        counts, edges = np.histogram(values, NUM_BARS if high > low else 1)
        names = [(f"{begin:.3g}", f"{end:.3g}") for begin, end in pairwise(edges)]
    bars = (Bar(*name, count) for name, count in zip(names, counts.tolist(), strict=True))
    return Histogram(title, tuple(bars))


def share(part: float, whole: float) -> str:
    """Returns a share in per cent."""
    return f"{part / whole:.1%}" if whole else "0.0%"
