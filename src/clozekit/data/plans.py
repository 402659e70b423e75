"""The plans of a corpus' shards, made when they are asked for."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from clozekit.corpus.shards import Shard

PLANS_KEPT = 2
"""A global batch may end one shard and begin the next."""

PlanT = TypeVar("PlanT")


class ShardPlans(Generic[PlanT]):
    """Opens shards and plans their samples; the last plans are kept.

    Args:
        paths: The shards' files.
        make_plan: Plans a shard in an epoch, given the shard, the epoch and the shard's index.
    """

    def __init__(
        self, paths: Sequence[Path], make_plan: Callable[[Shard, int, int], PlanT]
    ) -> None:
        self.paths = list(paths)
        self._make_plan = make_plan
        self._kept: dict[tuple[int, int], tuple[Shard, PlanT]] = {}

    def of(self, epoch: int, index: int) -> tuple[Shard, PlanT]:
        """Gives a shard and its plan in an epoch."""
        if (epoch, index) not in self._kept:
            shard = Shard.open(self.paths[index])
            self._kept[epoch, index] = shard, self._make_plan(shard, epoch, index)
            while len(self._kept) > PLANS_KEPT:
                del self._kept[next(iter(self._kept))]
        return self._kept[epoch, index]
