"""Small labelled rows of every task, and what is made of them."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from clozekit.data.labelled.classification import ClassificationFeatures
from clozekit.data.labelled.embedding import EmbeddingFeatures
from clozekit.data.labelled.encoded_rows import EncodedRows
from clozekit.data.labelled.features import Features
from clozekit.data.labelled.multiple_choice import MultipleChoiceFeatures
from clozekit.data.labelled.question_answering import QuestionAnsweringFeatures
from clozekit.data.labelled.question_answering_bio import QuestionAnsweringBIOFeatures
from clozekit.data.labelled.regression import RegressionFeatures
from clozekit.data.labelled.tagging import TaggingFeatures
from tests.data.spelling import WORDS, spelling_tokenizer

Row = dict[str, Any]
TAGS = ("O", "B-ANIMAL", "I-ANIMAL", "B-PLACE")
MAX_SEQ_LENGTH = 24


def words(draw: random.Random, longest: int) -> list[str]:
    return draw.choices(WORDS, k=draw.randint(1, longest))


def classified_row(draw: random.Random, longest: int) -> Row:
    return {"text": " ".join(words(draw, longest)), "label": draw.choice(["farm", "sea", "town"])}


def multi_label_row(draw: random.Random, longest: int) -> Row:
    labels = [name for name in ("farm", "sea", "town") if draw.random() < 0.4]
    return {"text": " ".join(words(draw, longest)), "label": labels}


def scored_row(draw: random.Random, longest: int) -> Row:
    return {"text": " ".join(words(draw, longest)), "score": draw.uniform(0, 5)}


def tagged_row(draw: random.Random, longest: int) -> Row:
    sentence = words(draw, 2 * longest)
    return {"tokens": sentence, "tags": draw.choices(TAGS, k=len(sentence))}


def question_row(draw: random.Random, longest: int) -> Row:
    """A paragraph, and an answer in it but for one question in five."""
    paragraph = words(draw, 2 * longest)
    first = draw.randrange(len(paragraph))
    answer = " ".join(paragraph[first : first + draw.randint(1, 3)])
    start = len(" ".join(paragraph[:first])) + (first > 0)
    has_answer = draw.random() > 0.2
    answers = {"text": [answer] * has_answer, "answer_start": [start] * has_answer}
    return {
        "question": " ".join(words(draw, 5)),
        "context": " ".join(paragraph),
        "answers": answers,
    }


def choice_row(draw: random.Random, longest: int) -> Row:
    return {
        "context": " ".join(words(draw, longest)),
        "question": " ".join(words(draw, 4)),
        "choices": [" ".join([first, *words(draw, 5)]) for first in draw.sample(WORDS, 3)],
        "label": draw.randrange(3),
    }


def similar_row(draw: random.Random, longest: int) -> Row:
    """A text and some of its words; one positive in five occurs often."""
    anchor = words(draw, longest)
    positive = draw.sample(anchor, draw.randint(1, len(anchor)))
    return {
        "anchor": " ".join(anchor),
        "positive": " ".join(positive if draw.random() > 0.2 else ["horse"]),
    }


Task = tuple[Callable[..., Features[Any]], Callable[[random.Random, int], Row], Mapping[str, Any]]

TASKS: dict[str, Task] = {
    "classification": (ClassificationFeatures, classified_row, {}),
    "multi_label": (ClassificationFeatures, multi_label_row, {"multi_label": True}),
    "regression": (RegressionFeatures, scored_row, {}),
    "tagging": (TaggingFeatures, tagged_row, {"doc_stride": 9}),
    "question_answering": (QuestionAnsweringFeatures, question_row, {"doc_stride": 7}),
    "question_answering_bio": (QuestionAnsweringBIOFeatures, question_row, {"doc_stride": 7}),
    "multiple_choice": (MultipleChoiceFeatures, choice_row, {}),
    "embedding": (EmbeddingFeatures, similar_row, {}),
}
"""How a task's rows are read, how one is drawn, and arguments of the reading."""


def make_features(task: str, **changes: Any) -> Features[Any]:
    features_class, _, arguments = TASKS[task]
    return features_class(
        spelling_tokenizer(), **{"max_seq_length": MAX_SEQ_LENGTH, **arguments, **changes}
    )


def encoded(features: Features[Any], rows: Sequence[Row]) -> Any:
    """Reads rows, as a DataModule does those of training."""
    read = [features.example(row, number, is_labelled=True) for number, row in enumerate(rows)]
    examples = [example for example in read if example is not None]
    features.learn_labels(examples, {})
    return features.encode(examples, is_labelled=True)


def drawn(task: str, number: int, longest: int = 30, **changes: Any) -> Any:
    """Encoded rows of random words; `longest` is the most words of a text."""
    draw = random.Random(0)
    rows = [TASKS[task][1](draw, longest) for _ in range(number)]
    return encoded(make_features(task, **changes), rows)


def whole_batch(rows: EncodedRows[Any]) -> Any:
    """All rows in one batch, as in evaluation."""
    chosen = np.arange(len(rows.owners))
    return rows.batch(chosen, np.zeros_like(chosen), is_training=False)
