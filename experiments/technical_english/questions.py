"""Two tasks from questions: whether a sentence has the answer, and answers in short contexts."""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

SENTENCE = re.compile(
    r"\S.*?(?:[.!?]['\"\u201d\u2019)]*(?=\s+[\"'\u201c\u2018(]?[A-Z0-9])|$)", re.DOTALL
)
MOST_WORDS = 60
"""The words of a short context, unless the sentence with the answer has more."""

Span = tuple[int, int]


def answer_sentences(paragraph: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields for each question a sentence with its answer or, equally often, another one."""
    context = paragraph["context"]
    spans = sentences(context)
    for asked in paragraph["qas"]:
        right = {holding(spans, answer["answer_start"]) for answer in asked["answers"]}
        wrong = [place for place in range(len(spans)) if place not in right]
        first = holding(spans, asked["answers"][0]["answer_start"])
        if first is None or not wrong:
            continue
        number = int.from_bytes(hashlib.blake2b(asked["id"].encode(), digest_size=4).digest())
        is_answered = number % 2 == 0
        begin, end = spans[first if is_answered else wrong[number // 2 % len(wrong)]]
        yield {
            "question": asked["question"],
            "sentence": context[begin:end],
            "label": "answered" if is_answered else "unanswered",
            "passage": context,
        }


def short_questions(paragraph: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields each question with some sentences of its paragraph, one of which has the answer."""
    context = paragraph["context"]
    spans = sentences(context)
    for asked in paragraph["qas"]:
        place = holding(spans, asked["answers"][0]["answer_start"])
        if place is None:
            continue
        number = int.from_bytes(hashlib.blake2b(asked["id"].encode(), digest_size=4).digest())
        begin, end = window(context, spans, place, number % 3)
        answers = [
            (answer["text"], answer["answer_start"] - begin)
            for answer in asked["answers"]
            if begin <= answer["answer_start"]
            and answer["answer_start"] + len(answer["text"]) <= end
        ]
        if answers:
            yield {
                "id": asked["id"],
                "question": asked["question"],
                "context": context[begin:end],
                "answers": {
                    "text": [text for text, _ in answers],
                    "answer_start": [start for _, start in answers],
                },
                "passage": context,
            }


def sentences(context: str) -> list[Span]:
    """Returns where the sentences of a text begin and end."""
    return [match.span() for match in SENTENCE.finditer(context)]


def holding(spans: list[Span], start: int) -> int | None:
    """Returns the number of the sentence with a character."""
    return next((place for place, (_, end) in enumerate(spans) if start < end), None)


def window(context: str, spans: list[Span], place: int, before: int) -> Span:
    """Widens a sentence by those around it, up to `before` before it, within `MOST_WORDS`."""
    first = last = place
    while first > max(0, place - before) and _fits(context, spans, first - 1, last):
        first -= 1
    while last + 1 < len(spans) and _fits(context, spans, first, last + 1):
        last += 1
    return spans[first][0], spans[last][1]


def _fits(context: str, spans: list[Span], first: int, last: int) -> bool:
    return len(context[spans[first][0] : spans[last][1]].split()) <= MOST_WORDS
