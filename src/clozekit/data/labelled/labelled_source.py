"""Labelled rows as a source of samples (see `clozekit.data.stream.Source`)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clozekit.data.batch import Batch
from clozekit.data.labelled.encoded_rows import EncodedRows
from clozekit.data.labelled.stored_rows import StoredRows
from clozekit.data.order import Span, concatenated_ranges
from clozekit.data.step import StepTotals


class LabelledSource:
    """Encoded rows as a single shard.

    In training, a sample is one sequence if `splits_examples` is set, else a row with all its
    sequences. In evaluation, a sample is always a row, so that the outputs for its sequences are
    computed in one batch and can be combined.

    Args:
        rows: The rows.
        is_training: Whether samples are for training.
    """

    num_shards = 1

    def __init__(self, rows: EncodedRows[Any] | StoredRows[Any], is_training: bool) -> None:
        self.rows = rows
        # In int32, to save memory with many rows.
        self._lengths = rows.lengths.astype(np.int32, copy=False)
        # `[samples + 1]`: where each sample's sequences begin; None if each has one.
        self._bounds: NDArray[np.int32] | None = None
        if is_training and rows.splits_examples:
            return
        num_sequences = len(rows.lengths)
        begins = np.flatnonzero(np.diff(rows.owners, prepend=-1)).astype(np.int32)
        if len(begins) < num_sequences:
            self._bounds = np.append(begins, np.int32(num_sequences))
            # The padded length of a sample is the length of its longest sequence.
            self._lengths = np.maximum.reduceat(self._lengths, begins)

    @property
    def most_sequences(self) -> int:
        """The most sequences that a sample has."""
        return 1 if self._bounds is None else int(np.diff(self._bounds).max(initial=1))

    def num_samples(self, epoch: int, shard: int) -> int:
        """The number of samples, the same in every epoch."""
        return len(self._lengths)

    def arranged(self, spans: list[Span]) -> list[Span]:
        """Sorts the samples of a global batch by length, longest first.

        Global batches themselves are drawn regardless of length: if labels correlate with length,
        a batch of one length would mostly have one label, and the model would learn little from it.
        """
        return [
            Span(span.epoch, span.shard, span.samples[self._by_length(span.samples)])
            for span in spans
        ]

    def evaluation_spans(self, size: int, max_tokens: int | None = None) -> Iterator[Span]:
        """Yields every sample once, longest first.

        Args:
            size: The maximum number of sequences per span. Larger samples form a span alone.
            max_tokens: The maximum number of tokens per span in padded form, likewise.
        """
        by_length = self._by_length(np.arange(len(self._lengths)))
        sizes = np.ones_like(self._lengths) if self._bounds is None else np.diff(self._bounds)
        taken, begin = 0, 0
        for place, sample in enumerate(by_length):
            wanted = taken + sizes[sample]
            longest = self._lengths[by_length[begin]]
            is_full = max_tokens is not None and wanted * longest > max_tokens
            if place > begin and (wanted > size or is_full):
                yield Span(0, 0, by_length[begin:place])
                taken, begin = 0, place
            taken += sizes[sample]
        if len(by_length):
            yield Span(0, 0, by_length[begin:])

    def totals(self, spans: list[Span]) -> StepTotals:
        """Counts a global batch."""
        chosen, _ = self._sequences(spans)
        return StepTotals(
            num_sequences=len(chosen),
            num_tokens=int(self.rows.lengths[chosen].sum()),
            # A global batch may have no targets, for example if no word has a tag.
            num_targets=max(1, int(self.rows.num_targets[chosen].sum())),
        )

    def build(self, spans: list[Span], is_training: bool) -> Batch:
        """Concatenates the samples' tokens. In evaluation, rows are in their original order."""
        chosen, epochs = self._sequences(spans)
        if not is_training:
            chosen = np.sort(chosen)
        batch: Batch = self.rows.batch(chosen, epochs, is_training)
        return batch

    def _by_length(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.argsort(-self._lengths[samples], kind="stable")

    def _sequences(self, spans: list[Span]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the sequences of samples and the epoch of each sequence."""
        samples = np.concatenate([span.samples for span in spans])
        epochs = np.concatenate([np.full(len(span), span.epoch) for span in spans])
        if self._bounds is None:
            return samples, epochs
        begins = self._bounds[samples]
        sizes = self._bounds[samples + 1] - begins
        return concatenated_ranges(begins, sizes), np.repeat(epochs, sizes)
