"""Generated text that can be learnt: every document keeps to one topic and its words."""

import csv
import random
from collections.abc import Sequence
from pathlib import Path

TOPICS = {
    "farm": ("horse cow sheep barn field plough", "feeds milks leads herds"),
    "sea": ("ship sailor harbour wave anchor captain", "sails crosses watches leaves"),
    "kitchen": ("cook oven bread knife soup table", "bakes slices stirs tastes"),
    "school": ("teacher pupil lesson book desk chalk", "reads writes learns answers"),
}
ADJECTIVES = ("old", "new", "small", "big", "quiet", "bright")


def make_sentence(topic: str, draw: random.Random, num_clauses: int = 1) -> str:
    """`the old horse feeds the cow`, as often as there are clauses."""
    nouns, verbs = (words.split() for words in TOPICS[topic])
    clauses = [
        f"the {draw.choice(ADJECTIVES)} {draw.choice(nouns)} {draw.choice(verbs)} "
        f"the {draw.choice(nouns)}"
        for _ in range(num_clauses)
    ]
    return " and ".join(clauses) + " ."


def make_documents(number: int, seed: int = 0) -> list[list[str]]:
    """Every other document has two short sentences, the rest has many long ones."""
    draw = random.Random(seed)
    documents = []
    for index in range(number):
        topic = draw.choice(list(TOPICS))
        if index % 2:
            documents.append([make_sentence(topic, draw) for _ in range(2)])
        else:
            documents.append(
                [make_sentence(topic, draw, draw.randint(1, 3)) for _ in range(draw.randint(4, 9))]
            )
    return documents


def write_documents(path: Path, documents: list[list[str]]) -> Path:
    path.write_text("\n\n".join("\n".join(sentences) for sentences in documents))
    return path


def write_labelled(path: Path, number: int, seed: int = 0) -> Path:
    """A CSV file of sentences and their topics."""
    draw = random.Random(seed)
    rows = [(make_sentence(topic, draw), topic) for topic in draw.choices(list(TOPICS), k=number)]
    return write_csv(path, ("text", "label"), rows)


def write_labelled_pairs(path: Path, number: int, seed: int = 0) -> Path:
    """A CSV file of two sentences and whether their topic is the same."""
    draw = random.Random(seed)
    rows = []
    for index in range(number):
        first, second = draw.sample(list(TOPICS), 2)
        if index % 2:
            second = first
        label = "same" if first == second else "other"
        rows.append((make_sentence(first, draw), make_sentence(second, draw), label))
    return write_csv(path, ("text", "second", "label"), rows)


def write_csv(path: Path, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return path
