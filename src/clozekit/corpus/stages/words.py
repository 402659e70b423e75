"""Counts the words of the training documents, and adds the counts of all groups.

The words are divided into buckets by a checksum. The counts of a bucket are added by one task, so
no process holds the words of the whole corpus.
"""

import zlib
from collections import Counter

import numpy as np
import pyarrow as pa

from clozekit.corpus.hold_out import SPLIT_CODES
from clozekit.corpus.shards import write_record_batch
from clozekit.corpus.stages.split import splits_of
from clozekit.corpus.stages.tokenizer import word_counter
from clozekit.corpus.tokenizers.word_cache import first_sentences
from clozekit.corpus.work_folder import Work, map_slice, write_array
from clozekit.files import write_json

MOST_OCCURRENCES = 200_000_000
"""The trainer is given each word as often as it occurs, so it takes an hour for each 10 billion
words. Beyond this number, counts are scaled down, and the rarest words are left out."""
_TABLES_AT_ONCE = 64


def count_group(work: Work, number: int) -> None:
    """Counts the words of a group's training documents, sorted by bucket."""
    count = word_counter(work)
    division = work.division()
    counts: Counter[str] = Counter()
    for piece in division.groups[number]:
        is_train = pa.array(splits_of(work, piece) == SPLIT_CODES["train"])
        documents = work.documents(piece).column("sentences").filter(is_train)
        begins_text = first_sentences(documents.value_lengths().to_numpy())
        counts.update(count(documents.flatten(), begins_text))
    words = list(counts)
    buckets = np.array(
        [zlib.crc32(word.encode()) % division.num_buckets for word in words], np.int64
    )
    order = np.argsort(buckets, kind="stable")
    batch = pa.record_batch(
        {"word": pa.array(words, pa.string()), "count": pa.array(counts.values(), pa.int64())}
    )
    write_record_batch(work.file("words", f"{number:06d}.arrow"), batch.take(pa.array(order)))
    cuts = np.searchsorted(buckets[order], np.arange(division.num_buckets + 1))
    write_array(work.file("words", f"{number:06d}.npy"), cuts)
    write_json(work.file("words", f"{number:06d}.json"), {"occurrences": counts.total()})


def add_counts(work: Work, number: int) -> None:
    """Adds the counts of a bucket's words, and scales them down if the corpus is very large."""
    parts: list[pa.Table] = []
    for group in range(len(work.division().groups)):
        first, last = np.load(work.file("words", f"{group:06d}.npy"))[number : number + 2]
        batch = map_slice(work.file("words", f"{group:06d}.arrow"), int(first), int(last))
        parts.append(pa.table(batch))
        if len(parts) == _TABLES_AT_ONCE:
            parts = [_added(parts)]
    total = _added(parts)
    counts = total["count"].to_numpy()
    occurrences = work.read_json("occurrences.json")
    if occurrences > MOST_OCCURRENCES:
        counts = (counts * (MOST_OCCURRENCES / occurrences)).astype(np.int64)
    scaled = pa.table({"word": total["word"], "count": counts}).filter(pa.array(counts > 0))
    batch = pa.record_batch([column.combine_chunks() for column in scaled.columns], scaled.schema)
    write_record_batch(work.file("counts", f"{number:06d}.arrow"), batch)


def count_occurrences(work: Work) -> int:
    """Returns the number of words of the training documents."""
    groups = range(len(work.division().groups))
    return sum(work.read_json(f"words/{n:06d}.json")["occurrences"] for n in groups)


def all_counts(work: Work) -> dict[str, int]:
    """Returns the counts of all words."""
    counts: dict[str, int] = {}
    for number in range(work.division().num_buckets):
        batch = map_slice(work.file("counts", f"{number:06d}.arrow"))
        words, occurrences = batch.columns
        counts.update(zip(words.to_pylist(), occurrences.to_pylist(), strict=True))
    return counts


def _added(tables: list[pa.Table]) -> pa.Table:
    added = pa.concat_tables(tables).group_by("word").aggregate([("count", "sum")])
    return added.rename_columns({"count_sum": "count"}).select(["word", "count"])
