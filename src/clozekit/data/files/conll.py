"""CoNLL files: one word and its tag per line, and a blank line after each sentence."""

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path

from clozekit.data.files.rows import Rows, endings
from clozekit.errors import DataError

ENDINGS = (".conll", ".txt", ".iob", ".iob2", ".bio")
"""The file endings that are read as CoNLL, with or without `.gz`."""

# Other white space, such as the no-break space in "10 000", may be part of a word.
_BLANKS = re.compile(r"[ \t]+")


def is_conll(path: str) -> bool:
    """Whether a file has one of the CoNLL endings."""
    return endings(path)[0] in ENDINGS


def read_conll(path: str, words_column: str, tags_column: str) -> Rows:
    """Reads a CoNLL file: the first column of each line is the word, the last is its tag.

    Columns are separated by tabs if the first line has a tab, else by blanks. `-DOCSTART-` lines
    and comments are skipped. A line that starts with `#` is a comment if its number of columns is
    wrong, or if it starts with `# ` before the first word of a sentence and does not end in a tag
    that occurred earlier in the file.

    Args:
        path: The file, which may be gzipped.
        words_column: The name of the column of words in the rows.
        tags_column: The name of the column of tags in the rows.

    Raises:
        DataError: The file does not exist, or a line cannot be read; the message has its number.
    """
    if not Path(path).is_file():
        raise DataError(f"{path} does not exist")
    columns = (words_column, tags_column)

    def read() -> Iterator[dict[str, object]]:
        with _open(path) as file:
            try:
                for line, words, tags in _sentences(file, path):
                    yield {words_column: words, tags_column: tags, "#line": line}
            except (OSError, EOFError, zlib.error) as error:
                raise DataError(f"{path} cannot be read: {error}") from error

    if next(read(), None) is None:
        raise DataError(f"{path} has no rows")
    return Rows(path, columns, read, unit="the sentence at line")


def _open(path: str) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path, "rb") if endings(path)[1] else Path(path).open("rb")


def _sentences(file: Iterable[bytes], path: str) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yields the first line, the words and the tags of each sentence."""
    words: list[str] = []
    tags: list[str] = []
    known_tags: set[str] = set()
    first_line, has_tabs, num_columns = 0, False, 0
    for number, content in enumerate(file, start=1):
        try:
            # Only the first line may start with a byte order mark.
            line = content.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}, line {number} is not UTF-8: {error.reason}") from error
        if not line.strip() or line.startswith("-DOCSTART-"):
            if words:
                yield first_line, words, tags
            words, tags = [], []
            continue
        is_first = not num_columns and not line.startswith("# ")
        has_tabs = "\t" in line if is_first else has_tabs
        fields = line.split("\t") if has_tabs else _BLANKS.split(line.strip(" \t"))
        num_columns = max(2, len(fields)) if is_first else num_columns
        may_be_comment = line.startswith("# ") and not words and fields[-1] not in known_tags
        if line.startswith("#") and (len(fields) != num_columns or may_be_comment):
            continue
        if len(fields) != num_columns:
            raise DataError(
                f"{path}, line {number} has {len(fields)} columns but must have {num_columns} "
                "(word, …, tag)"
            )
        first_line = first_line if words else number
        words.append(fields[0])
        tags.append(fields[-1])
        known_tags.add(fields[-1])
    if words:
        yield first_line, words, tags
