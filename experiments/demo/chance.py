"""Whether an accuracy on pairs is better than chance, in words."""

from math import sqrt

STANDARD_ERRORS = 3
"""A difference from chance of less standard errors than this may be due to chance."""

MUCH = 0.1
"""How much better than chance an accuracy has to be so that nothing is said against it."""


def against_chance(accuracy: float, num_pairs: int) -> str:
    """Says whether an accuracy on pairs is better than chance."""
    margin = STANDARD_ERRORS * 0.5 / sqrt(num_pairs)
    chance = f"0.500 by chance, ± {margin:.3f} on {num_pairs:,} pairs"
    if accuracy - 0.5 <= margin:
        return f"not better than chance ({chance})"
    if accuracy - 0.5 < MUCH:
        return f"a little better than chance ({chance})"
    return f"clearly better than chance ({chance})"
