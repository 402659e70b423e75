"""A document's text as sentences, and the hash that its place in the corpus follows from."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Literal

import sentencex


def split_sentences(text: str, mode: Literal["lines", "split"], language: str) -> list[str]:
    """Cuts a document into sentences, with single blanks for all white space inside.

    Args:
        text: The document.
        mode: `lines` takes every line as a sentence; `split` lets sentencex find them.
        language: The ISO 639 code that sentencex chooses its rules by.

    Returns:
        The sentences that are not blank; none for an empty document.
    """
    pieces: Iterable[str]
    pieces = text.split("\n") if mode == "lines" else sentencex.segment(language, text)
    return [sentence for piece in pieces if (sentence := " ".join(piece.split()))]


def hash_text(text: str) -> int:
    """Hashes text to 64 bits with BLAKE2b."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def hash_content(text: str) -> int:
    """Hashes a document to 64 bits, whatever its white space is."""
    return hash_text(" ".join(text.split()))
