"""Sequences of a packed batch in groups of like length, for attention on the CPU.

Attention needs the padded form, whose size is that of the longest sequence squared. Where lengths
differ, a few groups with a longest sequence each leave most of that work out. What is computed is
the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clozekit.data.packing import Packing

LEAST_GAIN = 0.1
"""The share of the padded form that a cut must save, of what it cuts."""
LEAST_SCORES = 1 << 14
"""The scores of one head that it must save: a group costs a few more calls of small kernels."""
CUTS_IN_HALF = 3
"""How often a group may be cut: up to eight groups."""


@dataclass(frozen=True)
class Group:
    """Sequences that stand next to each other.

    Attributes:
        packing: Where each lies among the group's tokens.
        key_mask: `[batch, 1, 1, seq_len]`, bool: True at real tokens of the padded form; None where
            all are.
    """

    packing: Packing
    key_mask: Tensor | None

    @classmethod
    def of(cls, packing: Packing) -> Self:
        """Makes the mask of sequences."""
        return cls(packing, None if packing.is_full else packing.attention_mask[:, None, None, :])


@dataclass(frozen=True)
class Grouping:
    """The sequences of a batch in groups.

    Attributes:
        packing: The whole batch, its sequences in the order of the groups.
        groups: The groups.
        order: `[tokens]`: where each token stands in the batch as it was given; None where the
            order is the same.
    """

    packing: Packing
    groups: tuple[Group, ...]
    order: Tensor | None = None

    @classmethod
    def single_group(cls, packing: Packing) -> Self:
        """Takes the whole batch for one group."""
        return cls(packing, (Group.of(packing),))

    @classmethod
    def by_length(cls, packing: Packing) -> Self:
        """Groups a batch on the CPU, the longest sequences first, where that saves enough."""
        lengths = packing.cu_seqlens.diff().numpy()
        by_length = np.argsort(-lengths, kind="stable")
        lengths = lengths[by_length]
        bounds = list(_cut(lengths, CUTS_IN_HALF))
        if len(bounds) == 1:
            return cls.single_group(packing)
        whole = Packing.from_lengths(lengths)
        groups = tuple(Group.of(Packing.from_lengths(lengths[begin:end])) for begin, end in bounds)
        if (np.diff(by_length) > 0).all():
            return cls(packing, groups)
        starts = packing.cu_seqlens[:-1].long()[torch.from_numpy(by_length)]
        shift = starts - whole.cu_seqlens[:-1]
        order = torch.arange(whole.num_tokens) + shift.repeat_interleave(torch.from_numpy(lengths))
        return cls(whole, groups, order)

    def arrange(self, packed: Tensor) -> Tensor:
        """Brings `[tokens, ...]` into the order of the groups."""
        return packed if self.order is None else packed.index_select(0, self.order)

    def restore(self, packed: Tensor) -> Tensor:
        """Brings `[tokens, ...]` back into the order of the batch as it was given."""
        return packed if self.order is None else packed.index_select(0, self.order.argsort())


def _cut(lengths: NDArray[np.int32], cuts: int, begin: int = 0) -> Iterator[tuple[int, int]]:
    """Yields the first sequence of each group and the one after its last."""
    number = len(lengths)
    squares = lengths.astype(np.int64) ** 2
    whole = number * squares[0]
    # What is left of the padded form with a cut before each sequence but the first.
    places = np.arange(1, number)
    left = places * squares[0] + (number - places) * squares[1:]
    if cuts and number > 1:
        best = int(left.argmin())
        saved = whole - left[best]
        if saved >= max(LEAST_GAIN * whole, LEAST_SCORES):
            middle = best + 1
            yield from _cut(lengths[:middle], cuts - 1, begin)
            yield from _cut(lengths[middle:], cuts - 1, begin + middle)
            return
    yield begin, begin + number
