"""Rows of words with tags, read and encoded."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from clozekit.data.batch import TaggingBatch
from clozekit.data.labelled.encoded_rows import EncodedRows, Example
from clozekit.data.labelled.fields import per_item, per_sequence
from clozekit.data.order import concatenated_ranges


@dataclass(frozen=True)
class TaggedWords(Example):
    """Words with their tags.

    Attributes:
        words: The words.
        tags: One tag per word; None if it is missing.
    """

    words: tuple[str, ...]
    tags: tuple[str | None, ...]

    label_fields: ClassVar[frozenset[str]] = frozenset({"tags"})


@dataclass(frozen=True)
class TaggedRows(EncodedRows[TaggedWords]):
    """Encoded rows with tagging targets; each word occurs once.

    Attributes:
        num_words: `[sequences]`. The number of words of each sequence.
        places: `[words]`. The index of each word's first token in its sequence.
        labels: `[words]`. The label of each word, or -100 if it has none.
    """

    num_words: NDArray[np.int64] = field(metadata=per_sequence(np.int32))
    places: NDArray[np.int64] = field(metadata=per_item("num_words", np.int32))
    labels: NDArray[np.int64] = field(metadata=per_item("num_words", np.int32))

    @cached_property
    def first_words(self) -> NDArray[np.int64]:
        """`[sequences]`. The index in `places` and `labels` of a sequence's first word."""
        begins: NDArray[np.int64] = np.cumsum(self.num_words) - self.num_words
        return begins

    def targets(self, chosen: NDArray[np.int64], common: dict[str, Any]) -> TaggingBatch:
        """Adds the positions and tags of the words."""
        sizes = self.num_words[chosen]
        words = concatenated_ranges(self.first_words[chosen], sizes)
        begins = common["packing"].first_tokens.numpy().astype(np.int64)
        return TaggingBatch(
            **common,
            positions=torch.from_numpy(self.places[words] + np.repeat(begins, sizes)),
            labels=torch.from_numpy(self.labels[words]),
        )
