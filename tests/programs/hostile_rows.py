"""Rows of every fine-tuning task whose texts, labels and ids are hostile, and runs on them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clozekit.train import train
from tests.pages.hostile import IN_FILES, MARKUP
from tests.programs.commands import QUIET, TINY, train_config
from tests.programs.task_files import OVERRIDES, group_of

NUMBER = 24

Row = dict[str, Any]


def text_of(number: int) -> str:
    """Returns one of the hostile texts; so many in a row have different ones."""
    return IN_FILES[number % len(IN_FILES)]


def _classification(number: int) -> Row:
    label = (MARKUP[0], MARKUP[4], "a\u202eb")[number % 3]
    return {"text": f"{text_of(number)} {number}", "label": label}


def _several_labels(number: int) -> Row:
    labels = [(MARKUP[0], MARKUP[2], "a\u202eb")[number % 3], "also"]
    return {"text": text_of(number), "label": labels[: number % 2 + 1]}


def _regression(number: int) -> Row:
    return {"text": text_of(number), "text_pair": text_of(number + 1), "score": number / 7}


def _tagging(number: int) -> Row:
    words = [word for word in (*text_of(number).split(), "the", "old", "horse") if word][:12]
    kinds = (f"B-{MARKUP[1]}", f"I-{MARKUP[1]}", "B-x", "O")
    tags = ["O", *(kinds[(number + place) % 4] for place in range(1, len(words)))]
    return {"tokens": words, "tags": tags}


def _question(number: int) -> Row:
    context = f"{text_of(number)} the old horse {text_of(number + 1)} " * 3
    answers = {"text": [], "answer_start": []}
    if number % 4:
        start = context.index("old horse")
        answers = {"text": ["old horse"], "answer_start": [start]}
    return {"question": text_of(number + 2), "context": context, "answers": answers}


def _choice(number: int) -> Row:
    choices = [text_of(number + place) for place in range(3)]
    row = {"context": text_of(number), "question": MARKUP[3], "choices": choices}
    return {**row, "label": number % 3}


def _pair(number: int) -> Row:
    return {"anchor": f"{text_of(number)} {number}", "positive": f"{number} {text_of(number)}"}


ROWS: dict[str, Callable[[int], Row]] = {
    "classification": _classification,
    "several_labels": _several_labels,
    "regression": _regression,
    "tagging": _tagging,
    "question_answering": _question,
    "question_answering_bio": _question,
    "multiple_choice": _choice,
    "embedding": _pair,
}


def write_rows(path: Path, task: str) -> Path:
    """Writes labelled rows of a task, with ids that are hostile too."""
    rows = (
        {"id": f"{number} {MARKUP[number % 8]}", **ROWS[task](number)} for number in range(NUMBER)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def overrides_of(task: str, rows: Path, tokenizer: Path) -> tuple[str, ...]:
    """Returns what a run on rows of a task is given; their texts are longer than a sequence."""
    return (
        *(f"task={group_of(task)}", f"data={group_of(task)}", *TINY, "data.max_seq_length=40"),
        *OVERRIDES.get(task, ()),
        *(f"data.train={rows}", f"data.validation={rows}", f"data.tokenizer={tokenizer}"),
        *("data.id_column=id", "global_batch_size=8", "micro_batch_size=4"),
    )


def train_on(folder: Path, task: str, tokenizer: Path) -> Path:
    """Trains a step on hostile rows; returns the run's folder."""
    rows = write_rows(folder / f"{task}.jsonl", task)
    given = overrides_of(task, rows, tokenizer)
    train(train_config(f"name={task}", f"runs_dir={folder}", *given, *QUIET, "max_steps=1"))
    return folder / task
