"""Splits documents into sentences, and hashes them."""

import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Literal

import sentencex

from clozekit.rng import hash_text

LONGEST = 1000
"""The most characters of a sentence that is taken as sentencex found it."""


def split_sentences(text: str, mode: Literal["lines", "split"], language: str) -> list[str]:
    """Splits a document into sentences, and normalizes whitespace to single spaces.

    Args:
        text: The document.
        mode: `lines` uses each line as a sentence; `split` detects boundaries with sentencex, which
            does not split between a pair of quotes or brackets. A sentence of more than `LONGEST`
            characters is split again without regard to them.
        language: The ISO 639 code of the language for sentencex.

    Returns:
        The sentences that are not blank; an empty list for an empty document.
    """
    pieces: Iterable[str]
    pieces = text.split("\n") if mode == "lines" else _segments(text, language)
    return [sentence for piece in pieces if (sentence := " ".join(piece.split()))]


def _segments(text: str, language: str) -> Iterator[str]:
    for segment in sentencex.segment(language, text):
        if len(segment) <= LONGEST:
            yield segment
        else:
            yield from _without_pairs(segment, language)


def _without_pairs(segment: str, language: str) -> Iterator[str]:
    """Splits a segment in which a quote or bracket belongs to no other one.

    An apostrophe can make a pair with one that is thousands of sentences away, and then all between
    them is one segment.
    """
    plain = segment.translate({ord(mark): " " for mark in set(segment) if _is_of_a_pair(mark)})
    for found in sentencex.get_sentence_boundaries(language, plain):
        yield segment[found["start_index"] : found["end_index"]]


@cache
def _is_of_a_pair(mark: str) -> bool:
    """Whether a character is a quote or a bracket."""
    return mark in "\"'`" or unicodedata.category(mark) in ("Ps", "Pe", "Pi", "Pf")


def hash_content(text: str) -> int:
    """Hashes a document to 64 bits, ignoring differences in whitespace."""
    return hash_text(" ".join(text.split()))
