"""SQuAD's nested JSON, versions 1.1 and 2.0, as one row per question."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clozekit.data.files.rows import Rows, endings
from clozekit.errors import DataError

COLUMNS = ("id", "question", "context", "answers")


def read_squad(path: str) -> Rows | None:
    """Reads a JSON file with the nested structure of SQuAD.

    Args:
        path: The file, which may be gzipped.

    Returns:
        The questions, with the columns of `squad` on the hub; None if the file is other JSON.

    Raises:
        DataError: The file does not exist, or part of it is not in SQuAD's format.
    """
    ending, is_gzipped = endings(path)
    if ending != ".json":
        return None
    if not Path(path).is_file():
        raise DataError(f"{path} does not exist")
    try:
        raw = Path(path).read_bytes()
        content = json.loads(gzip.decompress(raw) if is_gzipped else raw)
    except (OSError, EOFError, zlib.error, ValueError):
        # JSON lines or a broken file; `datasets` reads the former and reports the latter.
        return None
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        return None
    rows = list(_questions(content["data"], path))
    if not rows:
        raise DataError(f"{path} has no questions")
    return Rows(path, COLUMNS, lambda: iter(rows), unit="question")


def _questions(articles: list[Any], path: str) -> Iterator[Mapping[str, Any]]:
    for number, article in enumerate(articles):
        try:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    answers = question.get("answers") or []
                    yield {
                        "id": str(question["id"]),
                        "question": question["question"],
                        "context": paragraph["context"],
                        "answers": {
                            "text": [answer["text"] for answer in answers],
                            "answer_start": [answer["answer_start"] for answer in answers],
                        },
                    }
        except (AttributeError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: data[{number}] is not in SQuAD's format ({type(error).__name__}: {error})"
            ) from error
