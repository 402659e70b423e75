"""Sources of samples that are planned by the shard, when the plans are asked for."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from clozekit.corpus.shards import Shard
from clozekit.corpus.vocabulary import SpecialTokens
from clozekit.data.order import Span, in_order
from clozekit.data.pretraining.masking import MaskingRule
from clozekit.data.step import StepTotals

PLANS_KEPT = 2
"""A global batch may end one shard and begin the next."""


class Plan(Protocol):
    """Every sample of a shard in one epoch."""

    def __len__(self) -> int: ...

    def num_text_tokens_of(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Gives `[sequences]`, the text tokens of every sequence of samples, in their order."""
        ...


PlanT = TypeVar("PlanT", bound=Plan)


class PlannedSource(ABC, Generic[PlanT]):
    """Samples with masks from the shards of one split; see `clozekit.data.stream.Source`.

    A kind of sample says how a shard is planned and how a batch is built.

    Args:
        shards: The shards' files.
        masking: How the tokens of each sequence are masked.
        special_tokens: The ids of [CLS], [SEP] and the others.
        seed: What samples and masks depend on.
    """

    num_special_tokens: ClassVar[int]
    """Of a sequence."""

    def __init__(
        self,
        shards: Sequence[Path],
        masking: MaskingRule,
        special_tokens: SpecialTokens,
        seed: int,
    ) -> None:
        self.shards = list(shards)
        self.masking = masking
        self.special_tokens = special_tokens
        self.seed = seed
        self._plans: dict[tuple[int, int], tuple[Shard, PlanT]] = {}

    @abstractmethod
    def make_plan(self, shard: Shard, epoch: int, index: int) -> PlanT:
        """Plans the samples of a shard, `index`, in an epoch."""

    @property
    def num_shards(self) -> int:
        """The number of shards."""
        return len(self.shards)

    def num_samples(self, epoch: int, shard: int) -> int:
        """The number of samples of a shard in an epoch."""
        return len(self.plan(epoch, shard))

    def plan(self, epoch: int, shard: int) -> PlanT:
        """Plans a shard's samples for an epoch; the last plans are kept."""
        return self.planned(epoch, shard)[1]

    def planned(self, epoch: int, shard: int) -> tuple[Shard, PlanT]:
        """Gives a shard with its plan in an epoch."""
        if (epoch, shard) not in self._plans:
            opened = Shard.open(self.shards[shard])
            self._plans[epoch, shard] = opened, self.make_plan(opened, epoch, shard)
            while len(self._plans) > PLANS_KEPT:
                del self._plans[next(iter(self._plans))]
        return self._plans[epoch, shard]

    def arranged(self, spans: list[Span]) -> list[Span]:
        """Leaves a global batch as it is: most of its samples are equally long."""
        return spans

    def evaluation_spans(self, size: int) -> Iterator[Span]:
        """Yields every sample of epoch 0 once, in the plan's order."""
        return in_order(self.num_samples, self.num_shards, size)

    def totals(self, spans: list[Span]) -> StepTotals:
        """Counts a global batch; its targets follow from lengths, so nothing is built."""
        num_text_tokens = np.concatenate(
            [self.plan(span.epoch, span.shard).num_text_tokens_of(span.samples) for span in spans]
        )
        num_sequences = len(num_text_tokens)
        return StepTotals(
            num_sequences=num_sequences,
            num_tokens=int(num_text_tokens.sum()) + self.num_special_tokens * num_sequences,
            num_targets=int(self.masking.num_targets(num_text_tokens).sum()),
        )
