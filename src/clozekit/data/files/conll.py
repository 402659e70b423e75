"""CoNLL files: a word and its tag a line, a blank line after every sentence."""

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path

from clozekit.data.files.rows import Rows, endings
from clozekit.errors import DataError

ENDINGS = (".conll", ".txt", ".iob", ".iob2", ".bio")
"""The endings of files that are read as CoNLL, after a `.gz`."""

# Others, such as the no-break space in "10 000", may stand inside a word.
_BLANKS = re.compile(r"[ \t]+")


def is_conll(path: str) -> bool:
    """Whether a file is one of CoNLL by its ending."""
    return endings(path)[0] in ENDINGS


def read_conll(path: str, words_column: str, tags_column: str) -> Rows:
    """Reads a CoNLL file: the word in a line's first column, its tag in the last.

    Columns are parted by a tab if the first line has one, else by blanks. `-DOCSTART-` lines and
    comments are passed over: lines with a `#` before what is not a whole row of columns, or, where
    blanks part them and no sentence has begun, does not end in a tag that was there before.

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
            try:
                for line, words, tags in _sentences(file, path):
                    yield {words_column: words, tags_column: tags, "#line": line}
            except (OSError, EOFError, zlib.error) as error:
                raise DataError(f"{path}: it cannot be read ({error})") from error

    if next(read(), None) is None:
        raise DataError(f"{path}: the file has no rows")
    return Rows(path, columns, read, unit="the sentence of line")


def _open(path: str) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path, "rb") if endings(path)[1] else Path(path).open("rb")


def _sentences(file: Iterable[bytes], path: str) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yields every sentence's first line, words and tags."""
    words: list[str] = []
    tags: list[str] = []
    known_tags: set[str] = set()
    first_line, has_tabs, num_columns = 0, False, 0
    for number, content in enumerate(file, start=1):
        try:
            # Of the first line alone, a mark of the byte order is no part.
            line = content.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}, line {number}: it is not UTF-8 ({error.reason})") from error
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
                f"{path}, line {number}: it has {len(fields)} columns, where {num_columns} are "
                "needed (a word, …, its tag)"
            )
        first_line = first_line if words else number
        words.append(fields[0])
        tags.append(fields[-1])
        known_tags.add(fields[-1])
    if words:
        yield first_line, words, tags
