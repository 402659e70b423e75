"""A tokenizer that spells every word of some characters, and knows a few words whole."""

import string
import tempfile
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer

from clozekit.corpus.tokenizers.special_tokens import SPECIAL_TOKENS, SpecialTokens
from clozekit.corpus.tokenizers.tokenizer_files import load_tokenizer
from clozekit.data.sequence_format import SequenceFormat

CHARACTERS = string.ascii_letters + string.digits + string.punctuation + "éüßÉ北京大学"
WORDS = ("the", "old", "horse", "cow", "feeds", "field", "play", "café", "cafe")
ENDINGS = ("ing", "ed", "es")


@cache
def spelling_tokenizer(lowercase: bool = True) -> Tokenizer:
    """A tokenizer; uncased, it takes accents away."""
    vocabulary = [*SPECIAL_TOKENS, *CHARACTERS, *WORDS]
    vocabulary += [f"##{piece}" for piece in (*CHARACTERS, *ENDINGS)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")
        return load_tokenizer(path, lowercase=lowercase)


def sequence_format() -> SequenceFormat:
    return SequenceFormat.of(spelling_tokenizer())


def special_tokens() -> SpecialTokens:
    return SpecialTokens.from_tokenizer(spelling_tokenizer())
