"""Sources of samples that are planned per shard on first use."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from clozekit.corpus.shard_files import ShardFile
from clozekit.corpus.shards import Shard
from clozekit.data.order import Span, in_order
from clozekit.data.pretraining.masking import MaskingRule
from clozekit.data.sequence_format import Ids, SequenceFormat
from clozekit.data.step import StepTotals

PLANS_KEPT = 2
"""The number of cached plans of each corpus. A global batch may span two shards."""


class Opener(Protocol):
    """Opens the shards of which some are in a store."""

    def open(self, epoch: int, shard: int) -> Shard:
        """Opens a shard, and begins to fetch those that follow."""
        ...


class Plan(Protocol):
    """The samples of a shard in one epoch."""

    def __len__(self) -> int: ...

    def num_text_tokens_of(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns `[sequences]`, the number of text tokens of each sequence of `samples`."""
        ...


PlanT = TypeVar("PlanT", bound=Plan)


class PlannedSource(ABC, Generic[PlanT]):
    """Masked samples from the shards of one split (see `clozekit.data.stream.Source`).

    Subclasses define how a shard is planned and how a batch is built.

    Args:
        shards: The shards' files. Those of a corpus are checked before they are first read.
        masking: How the tokens of each sequence are masked.
        special: The special tokens around the texts.
        seed: The seed of samples and masks.

    Attributes:
        opener: Opens the shards if some are in a store; None if all are local.
        ranges: The indices of each corpus's shards, if there are several.
    """

    num_segments: ClassVar[int]
    """The number of texts of a sequence."""

    def __init__(
        self,
        shards: Sequence[Path | ShardFile],
        masking: MaskingRule,
        special: SequenceFormat,
        seed: int,
    ) -> None:
        self.shards = [s if isinstance(s, ShardFile) else ShardFile(s) for s in shards]
        self.masking = masking
        self.special = special
        self.num_special_tokens = special.num_special_tokens(self.num_segments)
        self.seed = seed
        self.opener: Opener | None = None
        self.ranges: tuple[range, ...] = (range(len(self.shards)),)
        self._plans: dict[tuple[int, int], tuple[Shard, PlanT]] = {}

    @abstractmethod
    def make_plan(self, shard: Shard, epoch: int, index: int) -> PlanT:
        """Plans the samples of the shard with this index in an epoch."""

    @property
    def num_shards(self) -> int:
        """The number of shards."""
        return len(self.shards)

    def num_samples(self, epoch: int, shard: int) -> int:
        """The number of samples of a shard in an epoch."""
        return len(self.plan(epoch, shard))

    def plan(self, epoch: int, shard: int) -> PlanT:
        """Returns the plan of a shard in an epoch. The last plans are cached."""
        return self.planned(epoch, shard)[1]

    def planned(self, epoch: int, shard: int) -> tuple[Shard, PlanT]:
        """Returns a shard and its plan in an epoch."""
        if (epoch, shard) not in self._plans:
            if self.opener is None:
                opened = self.shards[shard].open()
            else:
                opened = self.opener.open(epoch, shard)
            self._plans[epoch, shard] = opened, self.make_plan(opened, epoch, shard)
            self._forget_plans(shard)
        found = self._plans[epoch, shard]
        found[0].check_size()
        return found

    def _forget_plans(self, shard: int) -> None:
        """Removes the oldest plans of the corpus of a shard."""
        (own,) = (place for place in self.ranges if shard in place)
        of_corpus = [place for place in self._plans if place[1] in own]
        for place in of_corpus[:-PLANS_KEPT]:
            del self._plans[place]

    def with_masking(self, masking: MaskingRule) -> Self:
        """Returns a source of the same samples with other masks. They share their plans."""
        other = copy(self)
        other.masking = masking
        return other

    def check_files(self) -> None:
        """Checks that the shards in use have not been cut.

        Raises:
            DataError: One has been.
        """
        for shard, _ in self._plans.values():
            shard.check_size()

    def arranged(self, spans: list[Span]) -> list[Span]:
        """Returns a global batch unchanged: most of its samples have the same length."""
        return spans

    def evaluation_spans(self, size: int) -> Iterator[Span]:
        """Yields every sample of epoch 0 once: a batch of each corpus in turn, while it has some.

        So a validation that is limited to a number of batches has some of each corpus.
        """
        remaining = [in_order(self.num_samples, shards, size) for shards in self.ranges]
        while remaining:
            for spans in list(remaining):
                span = next(spans, None)
                if span is None:
                    remaining.remove(spans)
                else:
                    yield span

    def totals(self, spans: list[Span]) -> StepTotals:
        """Returns the totals of a global batch from the sequence lengths, without building it."""
        num_text_tokens = np.concatenate(
            [self.plan(span.epoch, span.shard).num_text_tokens_of(span.samples) for span in spans]
        )
        num_sequences = len(num_text_tokens)
        return StepTotals(
            num_sequences=num_sequences,
            num_tokens=int(num_text_tokens.sum()) + self.num_special_tokens * num_sequences,
            num_targets=int(self.masking.num_targets(num_text_tokens).sum()),
        )


def place_special(input_ids: NDArray[np.int64], begins: NDArray[np.int64], special: Ids) -> None:
    """Writes special tokens, in place, at the places where each sequence has them.

    Args:
        input_ids: `[tokens]`.
        begins: `[sequences]`. The place of the first of the special tokens.
        special: `[special_tokens]`. Their ids.
    """
    input_ids[begins[:, None] + np.arange(len(special))] = special
