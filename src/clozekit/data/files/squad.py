"""SQuAD's nested JSON, versions 1.1 and 2.0, as one row per question."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from clozekit.data.files.json_text import JsonStream
from clozekit.data.files.opening import check_is_file, endings, opened
from clozekit.data.files.row import FileRow, NoRowsError, Rows
from clozekit.errors import DataError

COLUMNS = ("id", "question", "context", "answers", "is_impossible")

# An article of SQuAD has up to 1 MB.
_MAX_ARTICLE_BYTES = 128 * 2**20


def read_squad(path: str) -> Rows | None:
    """Reads a JSON file with the nested structure of SQuAD, one article at a time.

    Args:
        path: The file, which may be compressed.

    Returns:
        The questions, with the columns of `squad` on the hub; None if the file is other JSON.

    Raises:
        DataError: The file does not exist, or part of it is not in SQuAD's format.
    """
    if endings(path)[0] != ".json":
        return None
    check_is_file(path)
    if not _is_squad(path):
        return None
    if next(_read(path), None) is None:
        raise NoRowsError(f"{path} has no questions")
    return Rows(path, COLUMNS, partial(_read, path))


def _is_squad(path: str) -> bool:
    """Whether a file is an object with a list `data`."""
    try:
        with opened(path) as file:
            stream = JsonStream(file.content, path, _MAX_ARTICLE_BYTES)
            return stream.peek() == b"{" and _has_list_of_articles(stream)
    except DataError:
        # JSON lines or a broken file: the general reader reads the former and reports the latter.
        return False


def _has_list_of_articles(stream: JsonStream) -> bool:
    for key in stream.object():
        if key == "data":
            return stream.peek() == b"["
        stream.value()
    return False


def _read(path: str) -> Iterator[FileRow]:
    number = 0
    with opened(path) as file:
        stream = JsonStream(file.content, path, _MAX_ARTICLE_BYTES)
        for key in stream.object():
            if key != "data":
                stream.value()
                continue
            for place, item in enumerate(stream.array()):
                for cells in _questions(stream.parsed(item), path, place):
                    number += 1
                    yield FileRow(cells, f"question {number}", file.position())
        stream.end()


def _questions(article: Any, path: str, place: int) -> Iterator[Mapping[str, Any]]:
    try:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                yield {
                    "id": question["id"],
                    "question": question["question"],
                    "context": paragraph["context"],
                    "answers": _answers(question.get("answers")),
                    "is_impossible": question.get("is_impossible"),
                }
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: data[{place}] is not in SQuAD's format ({type(error).__name__}: {error})"
        ) from error


def _answers(given: Any) -> dict[str, list[Any]] | None:
    """Returns the answers as lists; None if they are not given, as in a test set."""
    if given is None:
        return None
    return {
        "text": [answer["text"] for answer in given],
        "answer_start": [answer["answer_start"] for answer in given],
    }
