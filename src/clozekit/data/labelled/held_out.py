"""Draws the validation rows when no file of them is given."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clozekit import rng
from clozekit.errors import DataError

_DRAWN_AT_ONCE = 2**18


def held_out(
    strata: NDArray[Any], groups: NDArray[np.uint64] | None, fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Draws a random fraction of the rows with the seed, evenly from all strata.

    Every stratum keeps a row for training. Rows with a group in common are not separated, nor
    those that are connected by other rows.

    Args:
        strata: `[rows]`. The stratum of each row.
        groups: `[rows, groups]`. The groups of each row; None if no two rows have one in common.
        fraction: The fraction.
        seed: The seed.

    Returns:
        `[rows]`. Whether each row is held out.

    Raises:
        DataError: No row or every row would be held out.
    """
    firsts = np.arange(len(strata), dtype=np.int32) if groups is None else _first_connected(groups)
    num_connected = None if groups is None else np.bincount(firsts)[firsts]
    draws = np.empty(len(strata))
    # In blocks, because drawing needs memory for several copies.
    for begin in range(0, len(strata), _DRAWN_AT_ONCE):
        block = slice(begin, begin + _DRAWN_AT_ONCE)
        draws[block] = rng.uniform(seed, rng.Stream.HELD_OUT_ROWS, firsts[block])
    is_held_out = np.zeros(len(strata), bool)
    names, sizes = np.unique(strata, return_counts=True)
    counts = _counts(strata, draws, names, sizes, fraction)
    for stratum, count in zip(names[counts > 0], counts[counts > 0], strict=True):
        of_stratum = np.flatnonzero(strata == stratum)
        if num_connected is not None:
            # Rows connected with more than are wanted stay in training, if others can be taken.
            fitting = of_stratum[num_connected[of_stratum] <= count]
            of_stratum = fitting if len(fitting) else of_stratum
        # Connected rows have the same draw, so comparing with the last draw that is taken includes
        # all that are connected with it.
        last = np.sort(draws[of_stratum])[min(count, len(of_stratum)) - 1]
        is_held_out[of_stratum[draws[of_stratum] <= last]] = True
    if not is_held_out.any() or is_held_out.all():
        reason = ", because each class has only one row" if len(names) == len(strata) > 1 else ""
        if len(strata) > 1 and not firsts.any():
            reason = ", because texts that they share connect all of them; set data.validation"
        raise DataError(
            f"data.validation_fraction={fraction} of {len(strata)} rows leaves no rows for "
            f"training or for validation{reason}"
        )
    return is_held_out


def num_without_rows(strata: NDArray[Any], is_held_out: NDArray[np.bool_]) -> int:
    """Returns the number of strata of which no row is held out."""
    return len(np.unique(strata)) - len(np.unique(strata[is_held_out]))


def _counts(
    strata: NDArray[Any],
    draws: NDArray[np.float64],
    names: NDArray[Any],
    sizes: NDArray[np.int64],
    fraction: float,
) -> NDArray[np.int64]:
    """Returns `[strata]`: the number of rows to hold out of each.

    The shares are rounded. Where many are rounded alike, as with many small classes, their sum is
    not what was asked; then those that rounding changed most are rounded the other way.
    """
    # One row of each stratum stays, so what has no row to spare cannot be made up for by others.
    shares = np.minimum(fraction * sizes, sizes - 1)
    counts: NDArray[np.int64] = np.rint(shares).astype(np.int64)
    missing = round(float(shares.sum())) - int(counts.sum())
    if not missing:
        return counts
    gaps = shares - counts
    # Of equal gaps, the lowest draw comes first. Only strata that can be rounded otherwise matter.
    lowest = np.ones(len(names))
    for place in np.flatnonzero(np.sign(gaps) == np.sign(missing)):
        lowest[place] = draws[strata == names[place]].min()
    order = np.lexsort((lowest, -gaps))
    if missing > 0:
        counts[order[:missing]] += 1
    else:
        counts[order[missing:]] -= 1
    return counts


def _first_connected(groups: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Returns `[rows]`: the first row that each row is connected with, by groups in common."""
    num_rows, num_groups = groups.shape
    order = np.argsort(groups, axis=None, kind="stable")
    in_order = groups.reshape(-1)[order]
    rows = (order // num_groups).astype(np.int32)
    begins = np.flatnonzero(np.append(True, in_order[1:] != in_order[:-1]))
    # Each row with the first row of each of its groups.
    low = np.repeat(rows[begins], np.diff(begins, append=len(rows)))
    high = rows
    firsts = np.arange(num_rows, dtype=np.int32)
    while (is_open := low != high).any():
        low, high = low[is_open], high[is_open]
        # Rows that are connected take the lower one of their first rows, and then its first row.
        np.minimum.at(firsts, high, low)
        while not np.array_equal(further := firsts[firsts], firsts):
            firsts = further
        ends = firsts[low], firsts[high]
        low, high = np.minimum(*ends), np.maximum(*ends)
    return firsts
