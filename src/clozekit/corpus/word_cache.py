"""Encoding each different word once.

BERT's normaliser and pre-tokeniser never look past a blank, an ASCII punctuation mark or (where
they are set apart) a Chinese character. A text's tokens are therefore those of its words, one after
another, and a word needs to be encoded once however often it occurs: several times faster than
encoding the text, with the same result.
"""

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from clozekit.corpus.shards import OffsetArray, TokenArray, token_dtype

_ASCII_PUNCTUATION = r"!-/:-@\[-`{-~"
# The ranges of BertNormalizer, after `_is_chinese_char` of google-research/bert's tokenization.py.
_CHINESE = (
    r"\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}"
    r"\x{2B740}-\x{2B81F}\x{2B920}-\x{2CEAF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}"
)


@dataclass(frozen=True)
class Words:
    """Sentences as words, each different word once.

    Attributes:
        distinct: The different words, in the order of their first occurrence.
        indices: `[words]`: which of `distinct` each word is.
        sentence_offsets: `[sentences + 1]`: where each sentence begins in `indices`.
    """

    distinct: list[str]
    indices: NDArray[np.int32]
    sentence_offsets: OffsetArray

    @classmethod
    def split(cls, sentences: pa.StringArray, normalizer: BertNormalizer) -> "Words":
        """Cuts sentences, whose only white space is single blanks, where `normalizer` lets it."""
        alone = _ASCII_PUNCTUATION + (_CHINESE if normalizer.handle_chinese_chars else "")
        spaced = pc.replace_substring_regex(sentences, f"([{alone}])", r" \1 ")
        lists = pc.split_pattern(spaced, " ")
        return cls._of(lists.flatten(), lists.offsets.to_numpy())

    @classmethod
    def whole(cls, sentences: pa.StringArray) -> "Words":
        """Takes every sentence as one word."""
        return cls._of(sentences, np.arange(len(sentences) + 1, dtype=np.int32))

    @classmethod
    def _of(cls, words: pa.StringArray, sentence_offsets: OffsetArray) -> "Words":
        encoded = words.dictionary_encode()
        return cls(encoded.dictionary.to_pylist(), encoded.indices.to_numpy(), sentence_offsets)


class Encoder:
    """Turns sentences into token ids without special tokens.

    Args:
        tokenizer: Any tokenizer; one that works as BERT's does is used a word at a time.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        # The name of a special token that stands in a text is text.
        tokenizer.encode_special_tokens = True
        self.dtype = token_dtype(max(tokenizer.get_vocab().values()) + 1)
        self._by_word = _words_are_independent(tokenizer)

    def encode(self, sentences: pa.StringArray) -> tuple[TokenArray, NDArray[np.int64]]:
        """Encodes sentences.

        Args:
            sentences: `[sentences]`; their only white space is single blanks.

        Returns:
            The tokens `[tokens]` of all sentences and where each begins, `[sentences + 1]`.
        """
        if self._by_word:
            words = Words.split(sentences, self.tokenizer.normalizer)
        else:
            words = Words.whole(sentences)
        encodings = self.tokenizer.encode_batch_fast(words.distinct, add_special_tokens=False)
        ids = [encoding.ids for encoding in encodings]
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        tokens = np.fromiter(chain.from_iterable(ids), self.dtype, int(lengths.sum()))
        return _repeat(tokens, lengths, words)


def _repeat(
    tokens: TokenArray, lengths: NDArray[np.int64], words: Words
) -> tuple[TokenArray, NDArray[np.int64]]:
    """Puts the tokens of the distinct words where the words stand."""
    starts = np.cumsum(lengths) - lengths
    word_lengths = lengths[words.indices]
    word_offsets = np.concatenate([[0], np.cumsum(word_lengths)])
    shifts = starts[words.indices] - word_offsets[:-1]
    places = np.repeat(shifts, word_lengths) + np.arange(word_offsets[-1])
    return tokens[places], word_offsets[words.sentence_offsets]


def _words_are_independent(tokenizer: Tokenizer) -> bool:
    added: Any = tokenizer.get_added_tokens_decoder().values()
    return (
        isinstance(tokenizer.normalizer, BertNormalizer)
        and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        and isinstance(tokenizer.model, WordPiece)
        and all(token.special for token in added)
    )
