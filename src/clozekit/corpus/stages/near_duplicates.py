"""Finds near-duplicate documents with MinHash.

A document is a near-duplicate if its estimated similarity to an earlier document is at least the
threshold. This depends on pairs alone, so no clusters need to be built, and the memory of a task
does not grow with the corpus. The earlier document may itself be similar to a third one.
"""

import shutil
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clozekit.config.dedup import NearDedup
from clozekit.corpus.hold_out import Rows
from clozekit.corpus.stages.split import dropped_rows, slice_of_range
from clozekit.corpus.texts.minhash import band_hash, estimated_similarity, shingles, signatures
from clozekit.corpus.texts.normalized_words import normalized_words
from clozekit.corpus.work_folder import Work, write_array
from clozekit.files import write_atomically
from clozekit.rng import UInt64Array

_VALUES_AT_ONCE = 1 << 23


def sign_group(work: Work, number: int) -> None:
    """Writes the signatures of a group's documents, and an index of their bands.

    The signatures are `[documents, num_hashes]`, uint32; those of exact duplicates and of documents
    without words have no meaning and are not in the index. The index is `[bands, 2, documents]`,
    uint64: for each band its hashes, ascending, and the rows they belong to.
    """
    dedup, group = _config(work), work.division().groups[number]
    dropped = dropped_rows(work, group)
    num_rows = sum(piece.rows for piece in group)
    indexed: list[Rows] = []
    path = work.file("signatures", f"{number:06d}.npy")
    with write_atomically(path) as file:
        header = {"descr": "<u4", "fortran_order": False, "shape": (num_rows, dedup.num_hashes)}
        np.lib.format.write_array_header_1_0(file, header)
        for piece in group:
            words = normalized_words(work.documents(piece).column("sentences"))
            hashes, offsets = shingles(words, dedup.ngram_size)
            file.write(signatures(hashes, offsets, dedup.num_hashes).astype("<u4").tobytes())
            rows = piece.first_row + np.flatnonzero(np.diff(offsets))
            indexed.append(np.setdiff1d(rows, dropped, assume_unique=True))
    found = np.load(path, mmap_mode="r")
    rows = np.concatenate(indexed)
    with write_atomically(work.file("bands", f"{number:06d}.npy")) as file:
        header = {
            "descr": "<u8",
            "fortran_order": False,
            "shape": (dedup.num_buckets, 2, len(rows)),
        }
        np.lib.format.write_array_header_1_0(file, header)
        for band in range(dedup.num_buckets):
            columns = slice(band * dedup.hashes_per_bucket, (band + 1) * dedup.hashes_per_bucket)
            hashes = band_hash(found[rows - group[0].first_row, columns])
            order = np.argsort(hashes, kind="stable")
            for values in (hashes[order], rows[order]):
                file.write(values.astype("<u8").tobytes())


def find_near_duplicates(work: Work, number: int) -> None:
    """Finds similar documents among those with the same hash of a band, for a range of hashes.

    There are as many tasks as bands times ranges.

    Of the documents with the same hash, the first in text order is compared with all others. Where
    it is the odd one out, the others usually meet without it in another band.

    Writes the rows of documents that are similar to an earlier one, ascending, and `[pairs, 2]`:
    the row of each with the row of the earlier one.
    """
    hashes, rows = _entries(work, number)
    order = np.lexsort((rows, hashes))
    hashes, rows = hashes[order], rows[order]
    is_first = np.concatenate([[True], hashes[1:] != hashes[:-1]])[: len(hashes)]
    first = rows[is_first][np.cumsum(is_first) - 1]
    pairs = np.stack([rows, first], axis=1)[~is_first]
    is_similar = _Signatures(work).similarity(pairs) >= _config(work).threshold
    pairs = pairs[is_similar]
    pairs = pairs[np.argsort(pairs[:, 0])]
    write_array(work.file("near_pairs", f"{number:06d}.npy"), pairs)
    write_array(work.file("near_duplicates", f"{number:06d}.npy"), pairs[:, 0])


def near_examples(work: Work, count: int, length: int) -> list[list[str]]:
    """Returns examples of near-duplicates, the first ones of the corpus.

    Args:
        work: The work folder.
        count: The maximum number of examples.
        length: The length to which texts are cut.

    Returns:
        Each example's id, the id of the similar earlier document, and the start of both texts.
    """
    files = work.file("near_pairs", "x").parent.glob("*.npy")
    pairs = sorted(
        (int(row), int(earlier))
        for file in files
        for row, earlier in np.load(file, mmap_mode="r")[:count]
    )
    first_pairs = dict(reversed(pairs))  # with the earliest similar document
    examples: list[list[str]] = []
    for row in sorted(first_pairs)[:count]:
        identity, text = _document(work, row, length)
        earlier, earlier_text = _document(work, first_pairs[row], length)
        examples.append([identity, earlier, text, earlier_text])
    return examples


def remove_signatures(work: Work) -> None:
    """Removes the large files that only the search needs."""
    for stage in ("signatures", "bands"):
        shutil.rmtree(work.folder / stage, ignore_errors=True)


class _Signatures:
    """Reads the signatures of any documents."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._num_hashes = _config(work).num_hashes
        groups = work.division().groups
        last = groups[-1][-1]
        self._bounds = [*(group[0].first_row for group in groups), last.first_row + last.rows]

    def similarity(self, pairs: Rows) -> NDArray[np.float64]:
        """Returns `[pairs]`: the estimated similarity of pairs of rows, `[pairs, 2]`."""
        step = _VALUES_AT_ONCE // self._num_hashes
        parts = [
            estimated_similarity(*(self._read(rows) for rows in pairs[first : first + step].T))
            for first in range(0, len(pairs), step)
        ]
        return np.concatenate([np.zeros(0), *parts])

    def _read(self, rows: Rows) -> NDArray[np.uint32]:
        values = np.empty((len(rows), self._num_hashes), np.uint32)
        order = np.argsort(rows, kind="stable")
        cuts = np.searchsorted(rows[order], self._bounds)
        for group, (first, last) in enumerate(pairwise(cuts)):
            if first < last:
                file = self._work.file("signatures", f"{group:06d}.npy")
                places = order[first:last]
                values[places] = np.load(file, mmap_mode="r")[rows[places] - self._bounds[group]]
        return values


def _entries(work: Work, number: int) -> tuple[UInt64Array, Rows]:
    """Returns the band hashes of a task, and the rows they belong to."""
    division = work.division()
    band, part = divmod(number, division.num_ranges)
    hashes: list[UInt64Array] = []
    rows: list[Rows] = []
    for group in range(len(division.groups)):
        index = np.load(work.file("bands", f"{group:06d}.npy"), mmap_mode="r")[band]
        of_range = slice_of_range(index[0], part, division.num_ranges)
        hashes.append(np.array(index[0, of_range]))
        rows.append(index[1, of_range].astype(np.int64))
    return np.concatenate(hashes), np.concatenate(rows)


def _document(work: Work, row: int, length: int) -> tuple[str, str]:
    """Returns a document's id, and the start of its text."""
    pieces = work.division().pieces
    piece = next(piece for piece in pieces if row < piece.first_row + piece.rows)
    document: pa.RecordBatch = work.documents(piece).slice(row - piece.first_row, 1)
    text = ""
    for sentence in document.column("sentences")[0]:
        text += f" {sentence.as_py()[: length + 1]}"
        if len(text) > length:
            break
    text = text.strip()
    return document.column("id")[0].as_py(), text[:length] + "…" * (len(text) > length)


def _config(work: Work) -> NearDedup:
    assert isinstance(work.config.dedup, NearDedup)
    return work.config.dedup
