"""The page of predictions for a text or a file."""

from collections.abc import Iterable
from itertools import islice

from clozekit.inference.prediction_views import PredictionView, Shown
from clozekit.pages.layout import page

MOST_ROWS = 1000
"""The most rows on a page; browsers get slow with more. Other formats have all rows."""


def prediction_page(title: str, model: str, rows: Iterable[Shown]) -> tuple[str, int, bool]:
    """Makes a page of the first rows.

    Args:
        title: The title: the name of the file, or the text.
        model: The name of the model.
        rows: The rows with their predictions. Those that are not shown are not predicted.

    Returns:
        The page, the number of rows on it, and whether there are more.
    """
    remaining = iter(rows)
    shown = list(islice(remaining, MOST_ROWS))
    has_more = next(remaining, None) is not None
    number = f"{'the first ' if has_more else ''}{len(shown):,} row{'s' * (len(shown) != 1)}"
    content = PredictionView().all(shown)
    made = page(title, f"{number}, predicted by {model}", [("Predictions", content)])
    return made, len(shown), has_more
