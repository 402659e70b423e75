"""Encodes each distinct word once.

BERT's normalizer and pre-tokenizer never look beyond a space, an ASCII punctuation mark or (if they
are split off) a Chinese character. The tokens of a text are therefore the tokens of its words in
order, and each distinct word needs to be encoded only once. This is several times faster than
encoding the text, with the same result. The same is true of byte-level BPE as in GPT-2, if a word
has the space before it.
"""

import json
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from clozekit.corpus.shards import OffsetArray, TokenArray, token_dtype
from clozekit.corpus.tokenizers.word_marks import needs_space_before

_ASCII_PUNCTUATION = r"!-/:-@\[-`{-~"
# The ranges of BertNormalizer, from `_is_chinese_char` in google-research/bert's tokenization.py.
_CHINESE = (
    r"\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}"
    r"\x{2B740}-\x{2B81F}\x{2B920}-\x{2CEAF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}"
)


@dataclass(frozen=True)
class Words:
    """Sentences as indices into a list of distinct words.

    Attributes:
        distinct: The distinct words, in order of first occurrence.
        indices: `[words]`: the index of each word in `distinct`.
        sentence_offsets: `[sentences + 1]`: the start of each sentence in `indices`.
    """

    distinct: list[str]
    indices: NDArray[np.int32]
    sentence_offsets: OffsetArray

    @classmethod
    def split(cls, sentences: pa.StringArray, normalizer: BertNormalizer) -> "Words":
        """Splits sentences, whose whitespace must be single spaces, at spaces and punctuation.

        Chinese characters are split off if the normalizer does so.
        """
        alone = _ASCII_PUNCTUATION + (_CHINESE if normalizer.handle_chinese_chars else "")
        spaced = pc.replace_substring_regex(sentences, f"([{alone}])", r" \1 ")
        lists = pc.split_pattern(spaced, " ")
        return cls._of(lists.flatten(), lists.offsets.to_numpy())

    @classmethod
    def spaced(cls, sentences: pa.StringArray) -> "Words":
        """Splits sentences, whose whitespace must be single spaces, before each space."""
        lists = pc.split_pattern(sentences, " ")
        words, offsets = lists.flatten(), lists.offsets.to_numpy()
        has_space = np.ones(len(words), bool)
        has_space[offsets[:-1][np.diff(offsets) > 0]] = False
        spaces = pc.if_else(pa.array(has_space), " ", "")
        return cls._of(pc.binary_join_element_wise(spaces, words, ""), offsets)

    @classmethod
    def whole(cls, sentences: pa.StringArray) -> "Words":
        """Uses each sentence as one word."""
        return cls._of(sentences, np.arange(len(sentences) + 1, dtype=np.int32))

    @classmethod
    def _of(cls, words: pa.StringArray, sentence_offsets: OffsetArray) -> "Words":
        encoded = words.dictionary_encode()
        return cls(encoded.dictionary.to_pylist(), encoded.indices.to_numpy(), sentence_offsets)


class Encoder:
    """Converts sentences to token ids, without special tokens.

    Args:
        tokenizer: Any tokenizer; one that works like BERT's or GPT-2's encodes word by word.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        # A special token's name in the text, such as "[MASK]", is ordinary text.
        tokenizer.encode_special_tokens = True
        self.dtype = token_dtype(max(tokenizer.get_vocab().values()) + 1)
        self._by_word = _words_are_independent(tokenizer)
        self._by_spaced_word = _spaced_words_are_independent(tokenizer)
        self._needs_space = needs_space_before(tokenizer)

    def encode(
        self, sentences: pa.StringArray, begins_text: NDArray[np.bool_] | None = None
    ) -> tuple[TokenArray, NDArray[np.int64]]:
        """Encodes sentences.

        Args:
            sentences: `[sentences]`; their whitespace must be single spaces.
            begins_text: `[sentences]`: whether a sentence is the first of its document; None if all
                are. The others are encoded as after a space, if the tokenizer tells the difference.

        Returns:
            The tokens `[tokens]` of all sentences, and the start offset of each sentence,
            `[sentences + 1]`.
        """
        words = self.words(sentences, begins_text)
        encodings = self.tokenizer.encode_batch_fast(words.distinct, add_special_tokens=False)
        ids = [encoding.ids for encoding in encodings]
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        tokens = np.fromiter(chain.from_iterable(ids), self.dtype, int(lengths.sum()))
        return _repeat(tokens, lengths, words)

    def words(
        self, sentences: pa.StringArray, begins_text: NDArray[np.bool_] | None = None
    ) -> Words:
        """Splits sentences into parts that are encoded one by one; see `encode`."""
        if self._by_word:
            return Words.split(sentences, self.tokenizer.normalizer)
        if self._needs_space and begins_text is not None:
            spaces = pc.if_else(pa.array(begins_text), "", " ")
            sentences = pc.binary_join_element_wise(spaces, sentences, "")
        return Words.spaced(sentences) if self._by_spaced_word else Words.whole(sentences)


def first_sentences(lengths: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Returns `[sentences]`: whether each is the first of its document.

    Args:
        lengths: `[documents]`. The number of sentences of each document.
    """
    begins = np.zeros(int(lengths.sum()), bool)
    begins[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
    return begins


def _repeat(
    tokens: TokenArray, lengths: NDArray[np.int64], words: Words
) -> tuple[TokenArray, NDArray[np.int64]]:
    """Expands the tokens of the distinct words to all occurrences."""
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


def _spaced_words_are_independent(tokenizer: Tokenizer) -> bool:
    """Whether the tokens of a text are those of its words, each with the space before it."""
    normalizer, pre_tokenizer = (
        json.loads(part.__getstate__()) if part is not None else None
        for part in (tokenizer.normalizer, tokenizer.pre_tokenizer)
    )
    added: Any = tokenizer.get_added_tokens_decoder().values()
    return (
        isinstance(tokenizer.model, BPE)
        and pre_tokenizer is not None
        and pre_tokenizer["type"] == "ByteLevel"
        and pre_tokenizer["use_regex"]
        and (normalizer is None or normalizer["type"] in ("NFC", "NFD", "Lowercase"))
        # The texts have only single spaces, so runs of them, which ModernBERT has, do not occur.
        and all(token.special or _is_run_of_spaces(token.content) for token in added)
    )


def _is_run_of_spaces(content: str) -> bool:
    return content.isspace() and len(content) > 1
