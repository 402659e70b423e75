"""Splits documents into normalized words, for comparing and counting them."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_SEPARATORS = r"[^\p{L}\p{M}\p{N}]+"
_UNSPACED = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"


class NormalizedWords(NamedTuple):
    """The words of documents, as indices into a list of distinct words.

    Attributes:
        distinct: The distinct words, in order of first occurrence.
        indices: `[words]`: the index of each word in `distinct`.
        offsets: `[documents + 1]`: the start of each document in `indices`.
    """

    distinct: list[str]
    indices: NDArray[np.int32]
    offsets: NDArray[np.int64]


def normalized_words(documents: pa.ListArray) -> NormalizedWords:
    """Splits documents into lowercase words without punctuation.

    As in text-dedup, all characters but letters, marks and digits separate words. Each letter of a
    script without spaces, such as Chinese, is a word. Text is in the Unicode normal form C, so that
    an accented letter is the same in one or two characters.

    Args:
        documents: `[documents]`, each a list of sentences.
    """
    text = pc.utf8_lower(pc.utf8_normalize(documents.flatten(), form="NFC"))
    text = pc.replace_substring_regex(text, _SEPARATORS, " ")
    text = pc.replace_substring_regex(text, _UNSPACED, r" \1 ")
    lists = pc.ascii_split_whitespace(text)
    words = lists.flatten()
    is_word = pc.not_equal(words, "").to_numpy(zero_copy_only=False)
    # The number of words before each sentence, and before each document.
    before = np.concatenate([[0], np.cumsum(is_word)])[lists.offsets.to_numpy()]
    sentences = np.concatenate([[0], np.cumsum(documents.value_lengths().to_numpy())])
    encoded = words.filter(pa.array(is_word)).dictionary_encode()
    return NormalizedWords(
        encoded.dictionary.to_pylist(), encoded.indices.to_numpy(), before[sentences]
    )
