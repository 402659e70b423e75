"""What counting without a model reaches at the tasks, on their test rows."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from types import SimpleNamespace
from typing import Any

from experiments.finetune_tasks.baselines import baselines

WORD = re.compile(r"\w+")
KINDS = {
    "sentiment": ("classification", "accuracy"),
    "answer_sentence": ("classification", "accuracy"),
    "pos": ("tagging", "accuracy"),
    "questions": ("question_answering", "f1"),
    "multiple_choice": ("multiple_choice", "accuracy"),
}
"""The task of clozekit and the metric."""


def baselines_of_tasks(folder: Path) -> dict[str, dict[str, float]]:
    """Returns the scores of all baselines, in points, by task."""
    found = {}
    for name, (group, metric) in KINDS.items():
        train, test = (examples(folder / name / f"{split}.jsonl") for split in ("train", "test"))
        scores = baselines(group, metric, train, test)
        if name == "answer_sentence":
            scores["the share of the question's words"] = by_shared_words(train, test)
        # The F1 of answers is in points already.
        factor = 1 if group == "question_answering" else 100
        found[name] = {title: factor * score for title, score in scores.items()}
    return found


def examples(file: Path) -> list[Any]:
    """Reads rows as what `baselines` takes."""
    read = []
    # Not `splitlines`, which also splits at separators that JSON leaves in strings.
    for line in file.read_text(encoding="utf-8").rstrip("\n").split("\n"):
        row = json.loads(line)
        more = {"words": row.get("tokens"), "labels": row.get("label")}
        if "answers" in row:
            more["answers"] = row["answers"]["text"]
        read.append(SimpleNamespace(**{**row, **more}))
    return read


def by_shared_words(train: Sequence[Any], test: Sequence[Any]) -> float:
    """Calls a sentence an answer if it has enough of the question's words, by the training rows."""
    shares = [shared(example) for example in train]
    thresholds = [number / 20 for number in range(21)]
    best = max(thresholds, key=lambda threshold: _accuracy(train, shares, threshold))
    return _accuracy(test, [shared(example) for example in test], best)


def shared(example: Any) -> float:
    question = set(WORD.findall(example.question.lower()))
    return len(question & set(WORD.findall(example.sentence.lower()))) / max(1, len(question))


def _accuracy(rows: Sequence[Any], shares: Sequence[float], threshold: float) -> float:
    return mean(
        (share >= threshold) == (row.label == "answered")
        for share, row in zip(shares, rows, strict=True)
    )
