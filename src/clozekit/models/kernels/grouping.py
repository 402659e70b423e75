"""Groups of sequences of similar length in a packed batch, for attention in the padded form.

Attention computes the padded form, whose size grows with the square of the longest sequence. If
lengths differ, padding a few groups separately saves most of that work. The result is the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clozekit.data.packing import Packing

MovedT = TypeVar("MovedT", Packing, Tensor)

LEAST_GAIN = 0.1
"""A group is split only if this share of its padded form is saved."""
LEAST_SCORES = 1 << 14
"""And only if this number of scores per head is saved, because each group costs kernel calls."""
LEAST_SCORES_ON_GPU = 1 << 18
"""A GPU computes about this many scores in the time that the host takes to launch the kernels."""
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
        """Groups a batch, the longest sequences first, if that saves enough.

        The host does not wait for a GPU; on it, `packing` must have `lengths`.
        """
        device = packing.indices.device
        given = packing.lengths
        if given is None:
            given = packing.cu_seqlens.diff().numpy()
        by_length = np.argsort(-given, kind="stable")
        lengths = given[by_length]
        least = LEAST_SCORES if device.type == "cpu" else LEAST_SCORES_ON_GPU
        bounds = list(_cut(lengths, CUTS_IN_HALF, least))
        if len(bounds) == 1:
            return cls.single_group(packing)
        groups = tuple(
            Group.of(_moved(Packing.from_lengths(lengths[begin:end]), device))
            for begin, end in bounds
        )
        if (np.diff(by_length) > 0).all():
            return cls(packing, groups)
        whole = Packing.from_lengths(lengths)
        starts = np.cumsum(given) - given
        shift = starts[by_length] - (np.cumsum(lengths) - lengths)
        order = torch.from_numpy(np.arange(whole.num_tokens) + np.repeat(shift, lengths))
        return cls(_moved(whole, device), groups, _moved(order, device))

    def arrange(self, packed: Tensor) -> Tensor:
        """Reorders `[tokens, ...]` from the original order to that of the groups."""
        return packed if self.order is None else packed.index_select(0, self.order)

    def restore(self, packed: Tensor) -> Tensor:
        """Reorders `[tokens, ...]` from the order of the groups to the original one."""
        return packed if self.order is None else packed.index_select(0, self.order.argsort())


def _moved(host: MovedT, device: torch.device) -> MovedT:
    # Copies from pinned memory do not wait for the device.
    return host if device.type == "cpu" else host.pin_memory().to(device, non_blocking=True)


def _cut(
    lengths: NDArray[np.integer[Any]], cuts: int, least: int, begin: int = 0
) -> Iterator[tuple[int, int]]:
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
        if saved >= max(LEAST_GAIN * whole, least):
            middle = best + 1
            yield from _cut(lengths[:middle], cuts - 1, least, begin)
            yield from _cut(lengths[middle:], cuts - 1, least, begin + middle)
            return
    yield begin, begin + number
