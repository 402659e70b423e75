"""Splits documents into sentences, and hashes them."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Literal

import sentencex


def split_sentences(text: str, mode: Literal["lines", "split"], language: str) -> list[str]:
    """Splits a document into sentences, and normalizes whitespace to single spaces.

    Args:
        text: The document.
        mode: `lines` uses each line as a sentence; `split` detects boundaries with sentencex.
        language: The ISO 639 code of the language for sentencex.

    Returns:
        The sentences that are not blank; an empty list for an empty document.
    """
    pieces: Iterable[str]
    pieces = text.split("\n") if mode == "lines" else sentencex.segment(language, text)
    return [sentence for piece in pieces if (sentence := " ".join(piece.split()))]


def hash_text(text: str) -> int:
    """Hashes text to 64 bits with BLAKE2b."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def hash_content(text: str) -> int:
    """Hashes a document to 64 bits, ignoring differences in whitespace."""
    return hash_text(" ".join(text.split()))
