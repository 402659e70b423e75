"""Finds duplicate documents, and holds out documents for validation."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clozekit.corpus.division import Piece
from clozekit.corpus.hold_out import KeyAndRow, KeyCounts, Rows, later_of_equal, split_codes
from clozekit.corpus.work_folder import Work, write_array
from clozekit.files import write_json
from clozekit.rng import UInt64Array


def find_duplicates(work: Work, number: int) -> None:
    """Finds the duplicates among the documents whose content hash lies in a range.

    Writes their rows, ascending.
    """
    division = work.division()
    ranges = division.num_ranges
    contents: list[UInt64Array] = []
    rows: list[Rows] = []
    for piece in division.pieces:
        index = np.load(work.file("documents", f"{piece.name}.npy"), mmap_mode="r")
        of_range = slice_of_range(index[0], number, ranges)
        contents.append(np.array(index[0, of_range]))
        rows.append(index[1, of_range].astype(np.int64) + piece.first_row)
    duplicates = later_of_equal(np.concatenate(contents), np.concatenate(rows))
    write_array(work.file("duplicates", f"{number:06d}.npy"), duplicates)


def slice_of_range(hashes: UInt64Array, number: int, ranges: int) -> slice:
    """Returns the part of ascending hashes that lies in one of the equal ranges of all hashes."""
    bounds = [min(cut * 2**64 // ranges, 2**64 - 1) for cut in (number, number + 1)]
    first, last = (int(cut) for cut in np.searchsorted(hashes, np.array(bounds, np.uint64)))
    return slice(first, len(hashes) if number == ranges - 1 else last)


def mark_documents(work: Work, number: int) -> None:
    """Marks the documents of a group that are kept, and counts their keys."""
    group = work.division().groups[number]
    dropped = dropped_rows(work, group)
    keys, rows = [], []
    for piece in group:
        is_kept = np.ones(piece.rows, np.bool_)
        first, last = np.searchsorted(dropped, [piece.first_row, piece.first_row + piece.rows])
        is_kept[dropped[first:last] - piece.first_row] = False
        write_array(work.file("kept", f"{piece.name}.npy"), is_kept)
        keys.append(_keys(work, piece)[is_kept])
        rows.append(piece.first_row + np.flatnonzero(is_kept))
    fraction = work.config.validation_fraction
    counts = KeyCounts.of(np.concatenate(keys), np.concatenate(rows), fraction)
    write_json(work.file("kept", f"{number:06d}.json"), asdict(counts))


def count_kept(work: Work) -> KeyCounts:
    """Returns the sum of the counts of all groups."""
    reports = [work.read_json(f"kept/{n:06d}.json") for n in range(len(work.division().groups))]
    return KeyCounts.sum(KeyCounts(**report) for report in reports)


def splits_of(work: Work, piece: Piece) -> NDArray[np.uint8]:
    """Returns `[documents]`: the split of each document of a piece."""
    is_kept = np.load(work.file("kept", f"{piece.name}.npy"))
    rows = piece.first_row + np.arange(piece.rows)
    bound = KeyAndRow(*work.read_json("hold_out.json"))
    return split_codes(_keys(work, piece), rows, is_kept, bound)


def dropped_rows(work: Work, group: list[Piece]) -> Rows:
    """Returns the rows of the duplicates of a group that are found so far, ascending."""
    bounds = [group[0].first_row, group[-1].first_row + group[-1].rows]
    parts: list[Rows] = [np.zeros(0, np.int64)]
    for file in _dropped_files(work, "duplicates", "near_duplicates"):
        rows = np.load(file, mmap_mode="r")
        parts.append(np.array(rows[slice(*np.searchsorted(rows, bounds))]))
    return np.unique(np.concatenate(parts))


def count_duplicates(work: Work) -> int:
    """Returns the number of exact duplicates."""
    files = _dropped_files(work, "duplicates")
    return sum(len(np.load(file, mmap_mode="r")) for file in files)


def _dropped_files(work: Work, *stages: str) -> list[Path]:
    return [file for stage in stages for file in work.file(stage, "x").parent.glob("*.npy")]


def _keys(work: Work, piece: Piece) -> UInt64Array:
    keys: UInt64Array = work.documents(piece).column("key").to_numpy()
    return keys
