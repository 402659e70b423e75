"""Which paragraphs of a manual are English prose: whole sentences, not code, tables or licences."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

SHORTEST, LONGEST = 40, 6000
"""The characters of a paragraph."""

FEWEST_WORDS = 8
FEWEST_WORDS_OF_DOCUMENT = 60
LEAST_LETTERS = 0.85
"""The share of letters and spaces among the characters: code has fewer."""

LEAST_FUNCTION_WORDS = 0.15
"""Of the words: lists of names and other languages have fewer."""

FUNCTION_WORDS = re.compile(
    r"the|an?|of|to|in|is|and|for|that|with|be|this|are|it|as|by|on|or|from|at|can|not|if|will|when"
    r"|you|which|ha[sd]|have|was|were|its|than|then|these|their|but|no|any|all|may|must"
)
END = re.compile(r"""[.!?:]["')\]]*$""")
MARKS = re.compile(r"[¶§#†]+$|\[\d+\]")
# Ligatures and non-breaking spaces are normalised by NFKC, quotes are not.
QUOTES = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u00ad": None, "\u200b": None}
)
LICENCE = re.compile(
    r"permission (is|to) (hereby )?(granted|use, copy)|all rights reserved|without (any )?warrant"
    r"|free documentation license|licensed under|under the terms of|copyright (\(c\)|©|\d{4})"
    r"|redistribut|merchantability|trademarks? of|creative commons|report bugs (to|at)"
    r"|^generated (by|on)|last (updated|modified)|enable javascript",
    re.IGNORECASE,
)


def prose(paragraphs: Iterable[str]) -> Iterator[str]:
    """Yields the paragraphs that are prose, on one line each."""
    for paragraph in paragraphs:
        line = cleaned(paragraph)
        if is_prose(line):
            yield line


def cleaned(paragraph: str) -> str:
    """Puts a paragraph on one line, with plain quotes and without marks of links."""
    line = unicodedata.normalize("NFKC", " ".join(paragraph.split())).translate(QUOTES)
    return re.sub(r" +([,.;:!?)])", r"\1", MARKS.sub("", line)).strip()


def is_prose(line: str) -> bool:
    """Whether a line is made of English sentences."""
    if not SHORTEST <= len(line) <= LONGEST or not END.search(line):
        return False
    words = line.split()
    if len(words) < FEWEST_WORDS or LICENCE.search(line):
        return False
    letters = sum(character.isalpha() or character == " " for character in line)
    if letters < LEAST_LETTERS * len(line):
        return False
    known = sum(FUNCTION_WORDS.fullmatch(word.lower()) is not None for word in words)
    return known >= LEAST_FUNCTION_WORDS * len(words)


def is_document(paragraphs: list[str]) -> bool:
    """Whether paragraphs are enough for a document with pairs of sentences."""
    return sum(paragraph.count(" ") + 1 for paragraph in paragraphs) >= FEWEST_WORDS_OF_DOCUMENT
