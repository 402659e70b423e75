"""Where the words of encoded text begin, from what a tokenizer says of its own tokens.

Models mark words in different ways: WordPiece has a prefix for tokens that continue a word (`##`),
byte-level BPE and Unigram have a mark for a space before a token (`Ġ` and `▁`), and older BPE has
a suffix for the end of a word (`</w>`). All of these are written in `tokenizer.json`.
"""

import json
import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from clozekit.corpus.tokenizers.tokenizer_check import parts_of
from clozekit.errors import DataError

_PROBE = ("word", "another", "a")


@dataclass(frozen=True)
class WordMarks:
    """Which tokens are inside a word. Punctuation is a word of its own, as in BERT.

    Attributes:
        continues: `[vocab]`, bool: whether a token continues the word of the token before it.
        ends: `[vocab]`, bool: whether a token ends its word, so that the next one begins another;
            None if that can be told from the next token alone.
    """

    continues: NDArray[np.bool_]
    ends: NDArray[np.bool_] | None


def word_marks(tokenizer: Tokenizer, name: str = "the tokenizer") -> WordMarks:
    """Finds out which tokens continue a word.

    Args:
        tokenizer: The tokenizer.
        name: The tokenizer's name for error messages.

    Raises:
        DataError: The tokenizer does not mark words.
    """
    size = max(tokenizer.get_vocab().values()) + 1
    tokens = [tokenizer.id_to_token(i) or "" for i in range(size)]
    content = json.loads(tokenizer.to_str())
    model = content["model"]
    is_added = np.zeros(size, bool)
    is_added[[token["id"] for token in content["added_tokens"]]] = True
    if prefix := model.get("continuing_subword_prefix"):
        return WordMarks(np.array([token.startswith(prefix) for token in tokens]), None)
    if suffix := model.get("end_of_word_suffix"):
        ends = np.array([token.endswith(suffix) for token in tokens])
        return WordMarks(~is_added, ends | is_added)
    if model["type"] == "WordLevel":
        return WordMarks(np.zeros(size, bool), None)
    if _is_byte_level(content):
        marks = tuple(_SPACES)
    else:
        mark = _space_mark(content)
        if mark is None:
            raise DataError(f"{name} does not mark where words begin to mask whole words")
        marks = (mark,)
    begins = np.array([token.startswith(marks) for token in tokens])
    stripped = [token.lstrip("".join(marks)) for token in tokens]
    is_punctuation = np.array([_is_punctuation(token[:1]) for token in stripped])
    ends = np.array([_is_punctuation(token[-1:]) for token in tokens])
    return WordMarks(~(begins | is_punctuation | is_added), ends | is_added)


def needs_space_before(tokenizer: Tokenizer) -> bool:
    """Whether a word inside a text is encoded differently than the word alone.

    A byte-level BPE tokenizer that does not add a space to the beginning of a text is of this kind.
    A word of a running text must then be encoded with the space before it.
    """
    for first, second in (_PROBE[:2], _PROBE[1:]):
        alone, after = (_ids(tokenizer, text) for text in (second, f" {second}"))
        whole = _ids(tokenizer, f"{first} {second}")
        if alone != after and whole[len(whole) - len(after) :] == after:
            return True
    return False


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def _is_byte_level(content: dict[str, Any]) -> bool:
    parts = [*parts_of(content["pre_tokenizer"]), *parts_of(content["decoder"])]
    return any(part["type"] == "ByteLevel" for part in parts)


def _space_mark(content: dict[str, Any]) -> str | None:
    """Returns the character that stands for a space."""
    for part in (*parts_of(content["pre_tokenizer"]), *parts_of(content["decoder"])):
        if part["type"] == "Metaspace":
            return str(part["replacement"])
    for part in parts_of(content["normalizer"]):
        if part["type"] == "Replace" and part["pattern"] == {"String": " "}:
            return str(part["content"])
    return None


_SPACES = frozenset(chr(256 + byte) for byte in b"\t\n\v\f\r ")
"""The characters of the byte-level alphabet for white space: it gives the bytes from 0 to 32, which
are not printable, the characters from 256 on."""


def _is_punctuation(character: str) -> bool:
    """Whether a character is punctuation or a symbol in ASCII, where bytes are characters."""
    return character.isascii() and unicodedata.category(character or "a")[0] in "PS"
