"""Groups of sequences of similar length in a packed batch, for attention on the CPU.

Attention computes the padded form, whose size grows with the square of the longest sequence. If
lengths differ, padding a few groups separately saves most of that work. The result is the same.
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
"""A group is split only if this share of its padded form is saved."""
LEAST_SCORES = 1 << 14
"""And only if this number of scores per head is saved, because each group costs kernel calls."""
CUTS_IN_HALF = 3
"""The maximum number of times that a group is split in two, for up to eight groups."""


@dataclass(frozen=True)
class Group:
    """Adjacent sequences that are padded together.

    Attributes:
        packing: The layout of the sequences in the group.
        key_mask: `[batch, 1, 1, seq_len]`, bool: True for real tokens of the padded form; None if
            there is no padding.
    """

    packing: Packing
    key_mask: Tensor | None

    @classmethod
    def of(cls, packing: Packing) -> Self:
        """Makes a group with its mask."""
        return cls(packing, None if packing.is_full else packing.attention_mask[:, None, None, :])


@dataclass(frozen=True)
class Grouping:
    """The sequences of a batch in groups.

    Attributes:
        packing: The whole batch, its sequences in the order of the groups.
        groups: The groups.
        order: `[tokens]`: the index of each token in the original batch; None if the order is the
            same.
    """

    packing: Packing
    groups: tuple[Group, ...]
    order: Tensor | None = None

    @classmethod
    def single_group(cls, packing: Packing) -> Self:
        """Makes one group of the whole batch."""
        return cls(packing, (Group.of(packing),))

    @classmethod
    def by_length(cls, packing: Packing) -> Self:
        """Groups a batch on the CPU, the longest sequences first, if that saves enough."""
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
        """Reorders `[tokens, ...]` from the original order to that of the groups."""
        return packed if self.order is None else packed.index_select(0, self.order)

    def restore(self, packed: Tensor) -> Tensor:
        """Reorders `[tokens, ...]` from the order of the groups to the original one."""
        return packed if self.order is None else packed.index_select(0, self.order.argsort())


def _cut(lengths: NDArray[np.int32], cuts: int, begin: int = 0) -> Iterator[tuple[int, int]]:
    """Yields the first sequence of each group and the one after its last."""
    number = len(lengths)
    squares = lengths.astype(np.int64) ** 2
    whole = number * squares[0]
    # The size of the padded form after a split before each sequence except the first.
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
