"""Converts texts to token ids, and token ids to sequences with special tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from clozekit.corpus.vocabulary import SpecialTokens

Ids = NDArray[np.int32]

NUM_SPECIAL_TOKENS = {1: 2, 2: 3}
"""By the number of segments: [CLS], and a [SEP] after each segment."""


@dataclass(frozen=True)
class Sequences:
    """Concatenated sequences.

    Attributes:
        input_ids: `[tokens]`.
        token_type_ids: `[tokens]`.
        lengths: `[sequences]`, including special tokens.
    """

    input_ids: Ids
    token_type_ids: NDArray[np.int8]
    lengths: NDArray[np.int64]


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Ids]:
    """Tokenises texts, without special tokens."""
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return [np.array(encoding.ids, np.int32) for encoding in encodings]


def truncated(a: Ids, b: Ids | None, max_seq_length: int) -> tuple[tuple[Ids, ...], bool]:
    """Truncates one or two texts from the right to fit, the longer one first.

    Keeps as many tokens of each as the `longest_first` truncation of `tokenizers`.

    Returns:
        The segments, and whether any was truncated.
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
        segments: One or two segments per sequence.
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
    """Splits a long text into overlapping windows (`doc_stride` in google-research/bert run_squad).

    Args:
        length: The number of tokens of the text.
        size: The maximum number of tokens of a window.
        stride: The number of tokens between the starts of two windows.

    Returns:
        The start and end (exclusive) of each window; at least one window.
    """
    pieces = []
    begin = 0
    while True:
        pieces.append((begin, min(begin + size, length)))
        if begin + size >= length:
            return pieces
        begin += min(stride, size)
