"""CoNLL files: a word and its tag a line, a blank line after every sentence."""

import gzip
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path

from clozekit.data.reading import Rows, endings
from clozekit.errors import DataError

ENDINGS = (".conll", ".conllu", ".txt", ".iob", ".iob2", ".bio")
"""The endings of files that are read as CoNLL, after a `.gz`."""


def is_conll(path: str) -> bool:
    """Whether a file is one of CoNLL by its ending."""
    return endings(path)[0] in ENDINGS


def read_conll(path: str, words_column: str, tags_column: str) -> Rows:
    """Reads a CoNLL file: the word in a line's first column, its tag in the last.

    Columns are parted by a tab if the first line has one, else by white space. `-DOCSTART-` lines
    and comments (`#` before what is not a whole row of columns) are passed over.

    Args:
        path: The file, gzipped or not.
        words_column: What the words are called in a row.
        tags_column: What the tags are called.

    Raises:
        DataError: There is no such file, or a line cannot be read; it names the line.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: there is no such file")
    columns = (words_column, tags_column)

    def read() -> Iterator[dict[str, object]]:
        with _open(path) as file:
            for line, words, tags in _sentences(file, path):
                yield {words_column: words, tags_column: tags, "#line": line}

    if next(read(), None) is None:
        raise DataError(f"{path}: the file has no rows")
    return Rows(path, columns, read, unit="the sentence of line")


def _open(path: str) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path, "rb") if endings(path)[1] else Path(path).open("rb")


def _sentences(file: Iterable[bytes], path: str) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yields every sentence's first line, words and tags."""
    words: list[str] = []
    tags: list[str] = []
    first_line, separator, num_columns = 0, None, 0
    for number, content in enumerate(file, start=1):
        try:
            line = content.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}, line {number}: it is not UTF-8 ({error.reason})") from error
        if not line.strip() or line.startswith("-DOCSTART-"):
            if words:
                yield first_line, words, tags
            words, tags = [], []
            continue
        if not num_columns and not line.startswith("# "):
            separator = "\t" if "\t" in line else None
            num_columns = max(2, len(line.split(separator)))
        fields = line.split(separator)
        if line.startswith("#") and len(fields) != num_columns:
            continue
        if len(fields) != num_columns:
            raise DataError(
                f"{path}, line {number}: it has {len(fields)} columns, where {num_columns} are "
                "needed (a word, …, its tag)"
            )
        first_line = first_line if words else number
        words.append(fields[0])
        tags.append(fields[-1])
    if words:
        yield first_line, words, tags
