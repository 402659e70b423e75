"""Rows of questions, as a file of question answering has them."""

from typing import Any


def row(context: str, answer: str | None = None, start: int = 0, **more: Any) -> dict[str, Any]:
    texts, starts = ([], []) if answer is None else ([answer], [start])
    answers = {"text": texts, "answer_start": starts}
    return {"id": "q", "question": "the cow", "context": context, "answers": answers} | more
