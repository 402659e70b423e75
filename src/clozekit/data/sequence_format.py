"""Where a tokenizer puts special tokens around one or two texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from clozekit.corpus.tokenizers.segments import has_segments
from clozekit.errors import DataError

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class SequenceFormat:
    """The special tokens around the segments of a sequence, such as `[CLS] A [SEP] B [SEP]`.

    Attributes:
        around_one: The special tokens before and after a single text.
        around_two: The special tokens before, between and after two texts.
        between_type_ids: The segment ids of the special tokens between two texts.
        has_segments: Whether the second text has another segment id than the first.
    """

    around_one: tuple[Ids, Ids]
    around_two: tuple[Ids, Ids, Ids]
    between_type_ids: NDArray[np.int8]
    has_segments: bool = True

    @classmethod
    def of(cls, tokenizer: Tokenizer, name: str = "the tokenizer") -> "SequenceFormat":
        """Finds the format in the tokenizer's own post-processor.

        Args:
            tokenizer: The tokenizer, without truncation and padding.
            name: The tokenizer's name for error messages.

        Raises:
            DataError: It does not put special tokens around texts, or not in this order.
        """
        text = _text_with_tokens(tokenizer)
        one, _ = _around(tokenizer.encode(text), 1, name)
        two, type_ids = _around(tokenizer.encode(text, text), 2, name)
        around_two = (two[0], two[1], two[2])
        return cls((one[0], one[1]), around_two, type_ids, has_segments(tokenizer))

    @classmethod
    def of_bert(cls, cls_id: int, sep_id: int) -> "SequenceFormat":
        """Makes the format of BERT: `[CLS] A [SEP]` and `[CLS] A [SEP] B [SEP]`."""
        before, after = np.array([cls_id], np.int32), np.array([sep_id], np.int32)
        return cls((before, after), (before, after, after), np.zeros(1, np.int8))

    def around(self, num_segments: int) -> tuple[Ids, ...]:
        """Returns the special tokens before, between and after one or two texts."""
        return self.around_one if num_segments == 1 else self.around_two

    def num_special_tokens(self, num_segments: int) -> int:
        """Returns the number of special tokens of a sequence of one or two texts."""
        return sum(map(len, self.around(num_segments)))

    def type_ids(self, lengths: NDArray[np.int64]) -> NDArray[np.int8]:
        """Returns the segment ids of pairs: 0 for the first text, and 1 for the second, if any.

        Args:
            lengths: `[pairs, 2]`. The lengths of the texts.

        Returns:
            `[tokens]`, with special tokens.
        """
        before, between, after = map(len, self.around_two)
        num_first = between - int(self.between_type_ids.sum())
        sizes = lengths + np.array([before + num_first, between - num_first + after])
        of_texts = np.array([0, self.has_segments], np.int8)
        return np.repeat(np.tile(of_texts, len(sizes)), sizes.ravel())


def _text_with_tokens(tokenizer: Tokenizer) -> str:
    for text in ("a", "1", *sorted(tokenizer.get_vocab())):
        if tokenizer.encode(text, add_special_tokens=False).ids:
            return text
    raise DataError("the tokenizer turns every text into no tokens")


def _around(encoding: Any, num_segments: int, name: str) -> tuple[list[Ids], NDArray[np.int8]]:
    """Returns the special tokens before, between and after the texts of an encoding."""
    of_texts = [number for number, _ in groupby(encoding.sequence_ids) if number is not None]
    ids, sequence_ids = np.array(encoding.ids, np.int32), encoding.sequence_ids
    if of_texts == list(range(num_segments)):
        bounds = [0]
        for number in range(num_segments):
            places = [place for place, of in enumerate(sequence_ids) if of == number]
            bounds += [places[0], places[-1] + 1]
        bounds.append(len(ids))
        parts = [ids[bounds[i] : bounds[i + 1]] for i in range(0, len(bounds), 2)]
        types = np.array(encoding.type_ids, np.int8)[bounds[2] : bounds[3]]
        if all(len(part) for part in parts):
            return parts, (types > 0).astype(np.int8)
    raise DataError(
        f"{name} puts its special tokens as {encoding.tokens} around {num_segments} texts; there "
        "should be one before, between and after the texts, in their order"
    )


def join(
    segments: Sequence[Sequence[Ids]], special: SequenceFormat
) -> tuple[Ids, NDArray[np.int64]]:
    """Puts special tokens around the segments of sequences.

    Args:
        segments: One or two segments per sequence.
        special: The special tokens.

    Returns:
        The tokens `[tokens]` of all sequences, and the length of each, `[sequences]`.
    """
    parts: list[Ids] = []
    lengths = np.zeros(len(segments), np.int64)
    for number, of_sequence in enumerate(segments):
        before, *after = special.around(len(of_sequence))
        parts.append(before)
        for segment, following in zip(of_sequence, after, strict=True):
            parts += (segment, following)
        lengths[number] = sum(map(len, of_sequence)) + special.num_special_tokens(len(of_sequence))
    return (np.concatenate(parts) if parts else np.empty(0, np.int32)), lengths
