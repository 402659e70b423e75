"""CoNLL files: one word and its tag per line, and a blank line after each sentence."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from clozekit.data.files.opening import Lines, check_is_file, opened
from clozekit.data.files.row import FileRow, NoRowsError, Rows
from clozekit.errors import DataError
from clozekit.storage.compression import endings

ENDINGS = (".conll", ".conllu", ".txt", ".iob", ".iob2", ".bio")
"""The file endings that are read as CoNLL, with or without that of a compression."""

# Other white space, such as the no-break space in "10 000", may be part of a word.
_BLANKS = re.compile(r"[ \t]+")
_METADATA = re.compile(r"#\s*(newdoc|newpar|sent_id|text|begin|end|global\.columns)(?:[ =]|$)")
_WORD_NUMBER = re.compile(r"[0-9]+([-.][0-9]+)?")
_COLUMNS_OF_CONLLU = 10
_TAG = re.compile(r"[OBIESUL]|[BIESUL]-.*")
# So many words in a row are hardly the numbers from 1 on, each with a tag.
_MANY_WORDS = 5


def is_conll(path: str) -> bool:
    """Whether a file has one of the CoNLL endings."""
    return endings(path)[0] in ENDINGS


def read_conll(path: str, words_column: str, tags_column: str) -> Rows:
    """Reads a CoNLL file: the first column of each line is the word, the last is its tag.

    If no line of the first sentence has a second column, the words have no tags.

    Columns are separated by tabs if the first line of words has a tab, else by blanks. A tab at the
    end of every line of the first sentence ends the last column, and begins no further one.
    `-DOCSTART-` lines and comments are skipped. A line that starts with `#` is a comment if its
    number of columns is wrong, if it has metadata such as `# text = …`, or if it starts with `# `
    before the first word of a sentence and does not end in a tag that occurred earlier in the file.

    A file in the format of CoNLL-U is recognised by its ten columns: the word is FORM, its tag is
    UPOS. Words with `_` as UPOS have no tag, and multiword tokens and empty nodes are skipped.

    Args:
        path: The file, which may be compressed.
        words_column: The name of the column of words in the rows.
        tags_column: The name of the column of tags in the rows.

    Raises:
        DataError: The file does not exist, or a line cannot be read; the message has its number.
        NoRowsError: It has no rows.
    """
    check_is_file(path)
    read = partial(_read, path, words_column, tags_column)
    if next(read(), None) is None:
        raise NoRowsError(f"{path} has no rows")
    return Rows(path, (words_column, tags_column), read)


def _read(path: str, words_column: str, tags_column: str) -> Iterator[FileRow]:
    layout = _layout_of(path)
    with opened(path) as file:
        for line, words, tags in _sentences(Lines(file.content, path), path, layout):
            cells = {words_column: words, tags_column: tags}
            yield FileRow(cells, f"the sentence at line {line}", file.position())


@dataclass(frozen=True)
class _ConllColumns:
    """How the lines of a file are divided.

    Attributes:
        has_tabs: Whether columns are separated by tabs.
        ends_in_tab: Whether a tab also follows the last column.
        num_columns: The number of columns.
        is_conllu: Whether the file is in the format of CoNLL-U.
    """

    has_tabs: bool
    ends_in_tab: bool
    num_columns: int
    is_conllu: bool

    def fields(self, line: str) -> list[str]:
        return _fields(line.removesuffix("\t") if self.ends_in_tab else line, self.has_tabs)


def _layout_of(path: str) -> _ConllColumns:
    """Finds the layout by the first sentence.

    Raises:
        DataError: It is in a format that is not read.
    """
    sentence: list[str] = []
    hashes: list[str] = []
    with opened(path) as file:
        for line in Lines(file.content, path):
            text = line.rstrip("\r\n")
            if text.startswith("#begin document"):
                raise DataError(
                    f"{path} is in the format of CoNLL-2012, which is not read; convert it to "
                    "lines of a word and its tag"
                )
            if text.startswith("#"):
                hashes.append(text)
            elif _ends_sentence(text):
                if sentence:
                    break
            else:
                sentence.append(text)
    # A file may also have words that start with # only.
    lines = sentence or [text for text in hashes if not _is_metadata(text)]
    has_tabs = bool(lines) and "\t" in lines[0]
    # Two columns of which the last is empty are words without tags.
    ends_in_tab = has_tabs and all(text.endswith("\t") and text.count("\t") > 1 for text in lines)
    rows = [_fields(text.removesuffix("\t") if ends_in_tab else text, has_tabs) for text in lines]
    # Without tags, as for predictions, if the whole first sentence has none.
    least = 1 if rows and all(len(fields) == 1 for fields in rows) else 2
    num_columns = max(least, len(rows[0])) if rows else 2
    is_conllu = num_columns == _COLUMNS_OF_CONLLU and all(
        _WORD_NUMBER.fullmatch(fields[0]) for fields in rows
    )
    if endings(path)[0] == ".conllu" and rows and not is_conllu:
        raise DataError(
            f"{path} is not in the format of CoNLL-U: its words do not have {_COLUMNS_OF_CONLLU} "
            "columns, of which the first is a number"
        )
    are_numbered = _has_numbers_of_words if num_columns > 2 else _has_numbers_and_words
    if not is_conllu and num_columns > 1 and are_numbered(path, has_tabs):
        raise DataError(
            f"{path}: the first column has the numbers of the words, not the words; convert it to "
            "lines of a word and its tag"
        )
    return _ConllColumns(has_tabs, ends_in_tab, num_columns, is_conllu)


def _sentences(
    lines: Lines, path: str, layout: _ConllColumns
) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yields the first line, the words and the tags of each sentence."""
    words: list[str] = []
    tags: list[str] = []
    known_tags: set[str] = set()
    first_line = 0
    for content in lines:
        lines.begin_row()
        line = content.rstrip("\r\n")
        if _ends_sentence(line):
            if words:
                yield first_line, words, tags
            words, tags = [], []
            continue
        fields = layout.fields(line)
        is_whole = len(fields) == layout.num_columns
        if line.startswith("#"):
            may_be_comment = line.startswith("# ") and not words and fields[-1] not in known_tags
            if not is_whole or may_be_comment or (not words and _is_metadata(line)):
                continue
        if not is_whole:
            needed = f"must have {layout.num_columns} (word, …, tag)"
            if layout.num_columns == 1:
                needed = "the words of the first sentence have no tags"
            raise DataError(f"{path}, line {lines.number} has {len(fields)} columns but {needed}")
        if "\r" in line:
            raise DataError(
                f"{path}, line {lines.number} has a carriage return in it; lines must end in "
                "\\n or \\r\\n"
            )
        word, tag = fields[0], fields[-1] if layout.num_columns > 1 else ""
        if layout.is_conllu:
            if not _WORD_NUMBER.fullmatch(fields[0]):
                raise DataError(
                    f"{path}, line {lines.number} starts with {fields[0]!r}, not with "
                    "the number of a word, as CoNLL-U does"
                )
            if not fields[0].isdigit():
                continue
            word, tag = fields[1], "" if fields[3] == "_" else fields[3]
        first_line = first_line if words else lines.number
        words.append(word)
        tags.append(tag)
        known_tags.add(tag)
    if words:
        yield first_line, words, tags


def _fields(line: str, has_tabs: bool) -> list[str]:
    return line.split("\t") if has_tabs else _BLANKS.split(line.strip(" \t"))


def _ends_sentence(line: str) -> bool:
    return not line.strip() or line.startswith("-DOCSTART-")


def _is_metadata(line: str) -> bool:
    return _METADATA.match(line) is not None


def _has_numbers_of_words(path: str, has_tabs: bool) -> bool:
    """Whether the first column counts the words of each sentence, from 0 or 1.

    A sentence of one word does not tell, so the first one with more words decides.
    """
    num_sentences = 0
    for rows in _rows_of_words(path, has_tabs):
        is_counted = _is_counted(rows)
        if not is_counted or len(rows) > 1:
            return is_counted
        num_sentences += 1
    return num_sentences > 1


def _has_numbers_and_words(path: str, has_tabs: bool) -> bool:
    """Whether a file of two columns has the numbers of words and the words, without tags.

    Words may be numbers too. So every sentence must be counted, and there must be several, of which
    one has several words, or one of many words; and what follows must not look like tags.
    """
    num_sentences = longest = 0
    seen: set[str] = set()
    are_tags = True
    for rows in _rows_of_words(path, has_tabs):
        if not _is_counted(rows):
            return False
        num_sentences += 1
        longest = max(longest, len(rows))
        if are_tags:
            seen.update(fields[-1] for fields in rows)
            are_tags = len(seen) == 1 or all(map(_TAG.fullmatch, seen))
    return not are_tags and longest > 1 and (num_sentences > 1 or longest >= _MANY_WORDS)


def _is_counted(rows: list[list[str]]) -> bool:
    """Whether the first column of a sentence counts its words, from 0 or 1."""
    first = [fields[0] for fields in rows]
    return any(first == list(map(str, range(at, at + len(first)))) for at in (0, 1))


def _rows_of_words(path: str, has_tabs: bool) -> Iterator[list[list[str]]]:
    """Yields the columns of each sentence, without ranges such as 1-2 and empty nodes."""
    rows: list[list[str]] = []
    with opened(path) as file:
        for line in Lines(file.content, path):
            text = line.rstrip("\r\n")
            if not _ends_sentence(text):
                fields = _fields(text, has_tabs)
                is_number = fields[0].isdigit() or not _WORD_NUMBER.fullmatch(fields[0])
                rows += [fields] if is_number and not text.startswith("#") else []
            elif rows:
                yield rows
                rows = []
    if rows:
        yield rows
