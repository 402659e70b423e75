"""A few labelled rows for every fine-tuning task, in the files that users have."""

import csv
import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.programs.texts import TOPICS, make_sentence, write_csv


def _words(draw: random.Random) -> tuple[str, str]:
    topic = draw.choice(list(TOPICS))
    return topic, make_sentence(topic, draw)


def write_classification(path: Path, number: int, draw: random.Random) -> None:
    rows = [_words(draw) for _ in range(number)]
    write_csv(path, ("text", "label"), [(text, topic) for topic, text in rows])


def write_several_labels(path: Path, number: int, draw: random.Random) -> None:
    """Sentences on one topic, on two, and on none that is named."""
    rows = []
    for _ in range(number):
        topics = draw.sample(list(TOPICS), draw.choice((1, 1, 2)))
        rows.append((" ".join(make_sentence(topic, draw) for topic in topics), ";".join(topics)))
    write_csv(path, ("text", "label"), rows)


def write_regression(path: Path, number: int, draw: random.Random) -> None:
    """Pairs of sentences and how alike their topics are."""
    rows = []
    for _ in range(number):
        (first, text), (second, other) = _words(draw), _words(draw)
        rows.append((text, other, f"{(first == second) + draw.random() / 10:.3f}"))
    write_csv(path, ("text", "text_pair", "score"), rows)


def write_tagging(path: Path, number: int, draw: random.Random) -> None:
    """Nouns are entities of their topic, with the article before them."""
    with path.open("w") as file:
        for _ in range(number):
            topic, text = _words(draw)
            nouns = TOPICS[topic][0].split()
            words = text.split()
            for place, word in enumerate(words):
                follows = place + 1 < len(words) and words[place + 1] in nouns
                tag = f"I-{topic}" if word in nouns and words[place - 1] == "the" else "O"
                file.write(f"{word}\t{f'B-{topic}' if word == 'the' and follows else tag}\n")
            file.write("\n")


def write_questions(path: Path, number: int, draw: random.Random) -> None:
    """Who does it: the first sentence's subject; one question in four has no answer."""
    data = []
    for index in range(number):
        sentences = [_words(draw)[1] for _ in range(draw.choice((1, 2, 12)))]
        context = " ".join(sentences)
        adjective, subject = sentences[0].split()[1:3]
        answer = f"{adjective} {subject}"
        answers = [{"text": answer, "answer_start": context.index(answer)}] if index % 4 else []
        question = {"id": f"q{index}", "question": f"who {sentences[0].split()[3]} ?"}
        qas = [{**question, "answers": answers, "is_impossible": not answers}]
        data.append({"title": "t", "paragraphs": [{"context": context, "qas": qas}]})
    path.write_text(json.dumps({"version": "v2.0", "data": data}))


def write_choices(path: Path, number: int, draw: random.Random) -> None:
    with path.open("w") as file:
        for _ in range(number):
            topic, context = _words(draw)
            others = draw.sample([t for t in TOPICS if t != topic], 2)
            label = draw.randrange(3)
            choices = [make_sentence(other, draw) for other in others]
            choices.insert(label, make_sentence(topic, draw))
            row = {"context": context, "question": "and ?", "choices": choices, "label": label}
            file.write(json.dumps(row) + "\n")


def write_pairs(path: Path, number: int, draw: random.Random) -> None:
    """Two sentences on a topic with a noun in common; every third topic's own text is repeated."""
    with path.open("w") as file:
        for index in range(number):
            topic, anchor = _words(draw)
            noun = draw.choice(anchor.split()[1:4])
            other = make_sentence(topic, draw) if index % 3 else f"all of {topic} ."
            row = {"anchor": anchor, "positive": f"{noun} {other}" if index % 3 else other}
            file.write(json.dumps(row) + "\n")


FILES: dict[str, tuple[str, Callable[[Path, int, random.Random], None]]] = {
    "classification": (".csv", write_classification),
    "several_labels": (".csv", write_several_labels),
    "regression": (".csv", write_regression),
    "tagging": (".conll", write_tagging),
    "question_answering": (".json", write_questions),
    "question_answering_bio": (".json", write_questions),
    "multiple_choice": (".jsonl", write_choices),
    "embedding": (".jsonl", write_pairs),
}
"""The ending of each task's files, and how one is written."""

OVERRIDES = {
    "several_labels": ("data.multi_label=true",),
    "regression": ("data.text_pair_column=text_pair",),
    # Long paragraphs and sentences become windows.
    "tagging": ("data.max_seq_length=16", "data.doc_stride=6"),
    "question_answering": ("data.doc_stride=12", "data.max_query_length=8"),
    "question_answering_bio": ("data.doc_stride=12", "data.max_query_length=8"),
}
"""What a task's data needs to be told beside its files."""


def write_task(folder: Path, task: str, number: int, seed: int) -> Path:
    """Writes a file of rows of a task."""
    ending, write = FILES[task]
    path = folder / f"{task}-{seed}{ending}"
    write(path, number, random.Random(seed))
    return path


def group_of(task: str) -> str:
    """Gives the configuration group's choice for a task of `FILES`."""
    return "classification" if task == "several_labels" else task


def write_unlabelled(path: Path, task: str, labelled: Path) -> Path:
    """Writes the same rows as JSONL, without what is to be predicted."""
    with path.open("w") as file:
        for row in _rows(task, labelled):
            file.write(json.dumps(row) + "\n")
    return path


def _rows(task: str, labelled: Path) -> Iterable[dict[str, Any]]:
    if labelled.suffix == ".csv":
        with labelled.open(newline="") as file:
            for row in csv.DictReader(file):
                yield {key: row[key] for key in row if key not in ("label", "score")}
    elif labelled.suffix == ".conll":
        for sentence in labelled.read_text().strip().split("\n\n"):
            yield {"tokens": [line.split("\t")[0] for line in sentence.split("\n")]}
    elif labelled.suffix == ".json":
        for article in json.loads(labelled.read_text())["data"]:
            (paragraph,) = article["paragraphs"]
            for question in paragraph["qas"]:
                yield {
                    "id": question["id"],
                    "question": question["question"],
                    "context": paragraph["context"],
                }
    else:
        for line in labelled.read_text().splitlines():
            row = json.loads(line)
            yield {key: row[key] for key in row if key not in ("label", "positive")}
