"""Labelled rows as a source of samples; see `clozekit.data.stream.Source`."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clozekit.data.batch import Batch
from clozekit.data.labelled.features import EncodedRows
from clozekit.data.order import Span, concatenated_ranges
from clozekit.data.step import StepTotals


class LabelledSource:
    """Encoded rows, which are one shard.

    A sample is a sequence where training may read a row's sequences apart, else a row with all of
    them. In evaluation it is always a row, so that what its sequences say can be put together where
    they were computed.

    Args:
        rows: The rows.
        is_training: Whether samples are for training.
    """

    num_shards = 1

    def __init__(self, rows: EncodedRows[Any], is_training: bool) -> None:
        self.rows = rows
        num_sequences = len(rows.owners)
        if is_training and rows.splits_examples:
            self._begins = np.arange(num_sequences)
        else:
            self._begins = np.flatnonzero(np.diff(rows.owners, prepend=-1))
        self._sizes = np.diff(self._begins, append=num_sequences)
        # A sample's padded length is that of its longest sequence.
        lengths = rows.sequences.lengths
        self._lengths = np.maximum.reduceat(lengths, self._begins) if num_sequences else lengths

    def num_samples(self, epoch: int, shard: int) -> int:
        """The number of samples, the same in every epoch."""
        return len(self._begins)

    def arranged(self, spans: list[Span]) -> list[Span]:
        """Sorts a global batch by length, the longest first.

        Global batches themselves are drawn whatever the lengths: where labels go with length, a
        batch of one length has one label, and little is learnt from it.
        """
        return [
            Span(span.epoch, span.shard, span.samples[self._by_length(span.samples)])
            for span in spans
        ]

    def evaluation_spans(self, size: int, max_tokens: int | None = None) -> Iterator[Span]:
        """Yields every sample once, the longest first.

        Args:
            size: The most sequences at a time, where samples are no larger.
            max_tokens: The most places of the padded form at a time, likewise.
        """
        by_length = self._by_length(np.arange(len(self._lengths)))
        taken, begin = 0, 0
        for place, sample in enumerate(by_length):
            wanted = taken + self._sizes[sample]
            longest = self._lengths[by_length[begin]]
            is_full = max_tokens is not None and wanted * longest > max_tokens
            if place > begin and (wanted > size or is_full):
                yield Span(0, 0, by_length[begin:place])
                taken, begin = 0, place
            taken += self._sizes[sample]
        if len(by_length):
            yield Span(0, 0, by_length[begin:])

    def totals(self, spans: list[Span]) -> StepTotals:
        """Counts a global batch."""
        chosen, _ = self._sequences(spans)
        return StepTotals(
            num_sequences=len(chosen),
            num_tokens=int(self.rows.sequences.lengths[chosen].sum()),
            # A global batch may have no target at all, such as sentences without a known tag.
            num_targets=max(1, int(self.rows.num_targets[chosen].sum())),
        )

    def build(self, spans: list[Span], is_training: bool) -> Batch:
        """Lays the samples' tokens end to end; in evaluation the rows are in their own order."""
        chosen, epochs = self._sequences(spans)
        if not is_training:
            chosen = np.sort(chosen)
        batch: Batch = self.rows.batch(chosen, epochs, is_training)
        return batch

    def _by_length(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.argsort(-self._lengths[samples], kind="stable")

    def _sequences(self, spans: list[Span]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Gives the sequences of samples, and the epoch that each is read in."""
        samples = np.concatenate([span.samples for span in spans])
        epochs = np.concatenate([np.full(len(span), span.epoch) for span in spans])
        sizes = self._sizes[samples]
        return concatenated_ranges(self._begins[samples], sizes), np.repeat(epochs, sizes)
