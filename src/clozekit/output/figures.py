"""Pictures: how all of them are made, and what happens if one cannot be drawn."""

import io
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from clozekit.errors import first_line
from clozekit.files import write_atomically
from clozekit.output.display import printable, say

LONGEST_LABEL = 25
"""The maximum number of characters of a label in a picture."""

PLAIN_TEXT: Any = {
    "text.parse_math": False,
    "text.usetex": False,
    "axes.formatter.use_mathtext": False,
}
"""Settings of matplotlib with which `$` and `\\` in a text are drawn as they are."""

T = TypeVar("T")


@contextmanager
def picture(path: Path, width: float, height: float) -> Iterator[Any]:
    """Makes a figure, and writes it as PNG at the end of the block. All text is drawn as it is.

    Args:
        path: The file.
        width: The width in inches.
        height: The height in inches.
    """
    # Imported here because it takes half a second.
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(PLAIN_TEXT), warnings.catch_warnings():
        # Matplotlib warns about characters that its font lacks, and about labels without space.
        warnings.simplefilter("ignore")
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        with write_atomically(path) as file:
            figure.savefig(file, format="png", dpi=110)


def drawn(path: Path, draw: Callable[[Path], T]) -> T | None:
    """Draws a picture. If that fails, it says so in one line, because a picture ends no command.

    Args:
        path: The file to draw to.
        draw: Draws it.

    Returns:
        The result of `draw`; None if it failed.
    """
    try:
        return draw(path)
    except Exception as error:
        reason = first_line(error)
        say(f"{path} could not be drawn ({type(error).__name__}: {reason})", file=sys.stderr)
        return None


def label_of(text: str, longest: int = LONGEST_LABEL) -> str:
    """Returns a text as a label in a picture: without control characters, and cut if too long."""
    shown = printable(text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def draw_unused() -> None:
    """Draws a picture that is not kept, because the first one of a process takes longest."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    axes = figure.subplots(1, 1)
    axes.plot([0, 1], label="a")
    axes.legend()
    figure.savefig(io.BytesIO(), format="png")
