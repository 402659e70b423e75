"""From texts to token ids, and from token ids to sequences with their special tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from clozekit.corpus.vocabulary import SpecialTokens

Ids = NDArray[np.int32]

NUM_SPECIAL_TOKENS = {1: 2, 2: 3}
"""[CLS] and a [SEP] after each segment, by the number of segments."""


@dataclass(frozen=True)
class Sequences:
    """Sequences laid end to end.

    Attributes:
        input_ids: `[tokens]`.
        token_type_ids: `[tokens]`.
        lengths: `[sequences]`, special tokens included.
    """

    input_ids: Ids
    token_type_ids: NDArray[np.int8]
    lengths: NDArray[np.int64]


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Ids]:
    """Gives every text's tokens, without special ones."""
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return [np.array(encoding.ids, np.int32) for encoding in encodings]


def truncated(a: Ids, b: Ids | None, max_seq_length: int) -> tuple[tuple[Ids, ...], bool]:
    """Cuts one text or two to what fits, from the right, the longer one first.

    It keeps as many tokens of each as the truncation `longest_first` of `tokenizers` does.

    Returns:
        The segments, and whether something was cut off.
    """
    if b is None:
        room = max_seq_length - NUM_SPECIAL_TOKENS[1]
        return (a[:room],), len(a) > room
    room = max_seq_length - NUM_SPECIAL_TOKENS[2]
    if len(a) + len(b) <= room:
        return (a, b), False
    shorter = min(len(a), len(b), room // 2)
    longer = room - shorter
    if len(a) <= len(b):
        return (a[:shorter], b[:longer]), True
    return (a[:longer], b[:shorter]), True


def lay_out(segments: Sequence[Sequence[Ids]], special_tokens: SpecialTokens) -> Sequences:
    """Puts special tokens around segments: `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`.

    Args:
        segments: One segment or two of every sequence.
        special_tokens: The ids of the special tokens.
    """
    cls, sep = (np.array([i], np.int32) for i in (special_tokens.cls, special_tokens.sep))
    parts: list[Ids] = []
    sizes = np.zeros((len(segments), 2), np.int64)
    for number, of_sequence in enumerate(segments):
        parts.append(cls)
        for place, segment in enumerate(of_sequence):
            parts += (segment, sep)
            sizes[number, place] = len(segment) + 1
        sizes[number, 0] += 1
    return Sequences(
        input_ids=np.concatenate(parts) if parts else np.empty(0, np.int32),
        token_type_ids=np.repeat(np.tile(np.arange(2, dtype=np.int8), len(sizes)), sizes.ravel()),
        lengths=sizes.sum(axis=1),
    )


def windows(length: int, size: int, stride: int) -> list[tuple[int, int]]:
    """Cuts a long text into overlapping pieces (`doc_stride` of google-research/bert's run_squad).

    Args:
        length: The text's tokens.
        size: The most tokens of a piece.
        stride: The tokens between the beginnings of two pieces.

    Returns:
        The first and the last token, exclusive, of every piece; at least one piece.
    """
    pieces = []
    begin = 0
    while True:
        pieces.append((begin, min(begin + size, length)))
        if begin + size >= length:
            return pieces
        begin += min(stride, size)
