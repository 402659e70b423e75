"""Converts texts to token ids, and token ids to sequences with special tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from clozekit.data.sequence_format import Ids, SequenceFormat, join


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


def truncated(
    a: Ids, b: Ids | None, max_seq_length: int, special: SequenceFormat
) -> tuple[tuple[Ids, ...], bool]:
    """Truncates one or two texts from the right to fit, the longer one first.

    Keeps as many tokens of each as the `longest_first` truncation of `tokenizers`.

    Args:
        a: The first text.
        b: The second text, if any.
        max_seq_length: The maximum length, with special tokens.
        special: The special tokens around the texts.

    Returns:
        The segments, and whether any was truncated.
    """
    if b is None:
        room = max_seq_length - special.num_special_tokens(1)
        return (a[:room],), len(a) > room
    room = max_seq_length - special.num_special_tokens(2)
    if len(a) + len(b) <= room:
        return (a, b), False
    shorter = min(len(a), len(b), room // 2)
    longer = room - shorter
    if len(a) <= len(b):
        return (a[:shorter], b[:longer]), True
    return (a[:longer], b[:shorter]), True


def lay_out(segments: Sequence[Sequence[Ids]], special: SequenceFormat) -> Sequences:
    """Puts special tokens around segments, such as `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`.

    Args:
        segments: One or two segments per sequence.
        special: The special tokens.
    """
    input_ids, lengths = join(segments, special)
    token_type_ids = np.zeros(len(input_ids), np.int8)
    is_pair = np.array([len(of_sequence) == 2 for of_sequence in segments], bool)
    if is_pair.any():
        sizes = np.array([[len(s) for s in pair] for pair in segments if len(pair) == 2], np.int64)
        token_type_ids[np.repeat(is_pair, lengths)] = special.type_ids(sizes)
    return Sequences(input_ids, token_type_ids, lengths)


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
