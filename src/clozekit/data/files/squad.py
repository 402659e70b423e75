"""SQuAD's nested JSON, versions 1.1 and 2.0, as one row per question."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from clozekit.data.files.cells import shown
from clozekit.data.files.json_text import JsonStream
from clozekit.data.files.opening import check_is_file, opened
from clozekit.data.files.row import FileRow, NoRowsError, Rows
from clozekit.errors import DataError
from clozekit.storage.compression import endings

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
                try:
                    for cells in _questions(stream.parsed(item), f"data[{place}]"):
                        number += 1
                        yield FileRow(cells, f"question {number}", file.position())
                except _FormatError as error:
                    raise DataError(
                        f"{path}, line {item.line} is not in SQuAD's format: {error}"
                    ) from error
        stream.end()


class _FormatError(ValueError):
    """A part of an article is not as in SQuAD."""


def _questions(article: Any, where: str) -> Iterator[Mapping[str, Any]]:
    for number, paragraph in enumerate(_list(article, "paragraphs", where)):
        of_paragraph = f"{where}.paragraphs[{number}]"
        for place, question in enumerate(_list(paragraph, "qas", of_paragraph)):
            of_question = f"{of_paragraph}.qas[{place}]"
            yield {
                "id": _value(question, "id", of_question),
                "question": _value(question, "question", of_question),
                "context": _value(paragraph, "context", of_paragraph),
                "answers": _answers(question.get("answers"), f"{of_question}.answers"),
                "is_impossible": question.get("is_impossible"),
            }


def _answers(given: Any, where: str) -> dict[str, Any] | None:
    """Returns the answers as lists; None if they are not given, as in a test set."""
    if given is None or isinstance(given, dict):
        # The answers of the hub's rows are lists already; they are checked when the row is read.
        return given
    if not isinstance(given, list):
        raise _FormatError(f"{where} is {shown(given)} but must be a list")
    return {
        key: [_value(answer, key, f"{where}[{i}]") for i, answer in enumerate(given)]
        for key in ("text", "answer_start")
    }


def _list(given: Any, key: str, where: str) -> list[Any]:
    value = _value(given, key, where)
    if not isinstance(value, list):
        raise _FormatError(f"{where}.{key} is {shown(value)} but must be a list")
    return value


def _value(given: Any, key: str, where: str) -> Any:
    if not isinstance(given, dict):
        raise _FormatError(f"{where} is {shown(given)} but must be an object")
    if key not in given:
        raise _FormatError(f"{where} has no {key!r}; it has {', '.join(given) or 'no keys'}")
    return given[key]
