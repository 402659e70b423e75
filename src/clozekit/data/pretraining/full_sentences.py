"""Full sentences packed to a length, for MLM only, planned per shard with array operations.

A sample is a run of consecutive sentences that may cross document boundaries, as in FULL-SENTENCES
of RoBERTa (Liu et al., 2019, section 4.2). In RoBERTa the documents of a sample form one sequence;
here each document's part is a separate sequence `[CLS] text [SEP]` with its own positions, and does
not attend to the others. So samples have about the maximum length for any lengths of documents, no
text is left out, and the context of a token always comes from its own document.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clozekit import rng
from clozekit.data.order import concatenated_ranges
from clozekit.data.pretraining.pairs import walk

Int64Array = NDArray[np.int64]


@dataclass(frozen=True)
class FullSentencesPlan:
    """Every sample of a shard in one epoch, as sequences that are slices of the shard's tokens.

    Attributes:
        start: `[sequences]`, int64. A sequence's text is `tokens[start:end]`, from one document.
            Each token occurs once, so the start identifies the sequence.
        end: `[sequences]`, int64.
        first_sequence: `[samples + 1]`, int64. Sample i has the sequences `first_sequence[i]` to
            `first_sequence[i + 1]`.
        num_cut_sentences: The number of sentences split over several sequences because they are
            longer than a sequence.
    """

    start: Int64Array
    end: Int64Array
    first_sequence: Int64Array
    num_cut_sentences: int

    def __len__(self) -> int:
        return len(self.first_sequence) - 1

    @cached_property
    def num_text_tokens(self) -> Int64Array:
        """`[sequences]`: the number of text tokens, without special tokens."""
        return self.end - self.start

    def sequences_of(self, samples: Int64Array) -> Int64Array:
        """Returns the sequences of samples, in the order of the samples."""
        first = self.first_sequence[samples]
        return concatenated_ranges(first, self.first_sequence[samples + 1] - first)

    def num_text_tokens_of(self, samples: Int64Array) -> Int64Array:
        """Returns `[sequences]`, the number of text tokens of the samples' sequences."""
        return self.num_text_tokens[self.sequences_of(samples)]


def plan_full_sentences(
    sentence_offsets: NDArray[np.integer[Any]],
    document_offsets: NDArray[np.integer[Any]],
    *,
    max_seq_length: int,
    short_seq_prob: float,
    key: tuple[int, int, int],
    num_special_tokens: int = 2,
) -> FullSentencesPlan:
    """Plans the samples of one shard for one epoch.

    Documents are shuffled in each epoch. A sample takes full sentences as long as they fit,
    counting the special tokens of each document in it. A sentence that is longer than a sequence
    is split into pieces of the maximum length; the last piece is the rest.

    Args:
        sentence_offsets: `[sentences + 1]`. The start of each sentence in the shard's tokens.
        document_offsets: `[documents + 1]`. The start of each document in the shard's sentences.
        max_seq_length: The maximum number of tokens of a sample, including special tokens.
        short_seq_prob: The probability that a sample has a shorter target length, drawn uniformly.
            This splits long documents differently in each epoch and also makes short sequences.
        key: (seed, epoch, shard), the key of all random draws.
        num_special_tokens: The number of special tokens of a sequence; 2 for `[CLS] text [SEP]`.

    Returns:
        The samples in the order of the epoch's documents.
    """
    seed, epoch, shard = key
    order = rng.permutation(
        len(document_offsets) - 1, seed, rng.Stream.DOCUMENT_ORDER, epoch, shard
    )
    start, length, document, num_cut = _pieces(
        sentence_offsets.astype(np.int64),
        document_offsets.astype(np.int64),
        order.astype(np.int64),
        max_seq_length - num_special_tokens,
    )
    num_pieces = len(start)
    begins_document = np.diff(document, prepend=-1) != 0

    target = np.full(num_pieces, max_seq_length)
    is_short = rng.uniform(seed, rng.Stream.SHORT_TARGET, epoch, shard, start) < short_seq_prob
    least = num_special_tokens + 1
    target[is_short] = least + rng.below(
        max_seq_length - least + 1, seed, rng.Stream.TARGET_LENGTH, epoch, shard, start[is_short]
    )

    # Place all pieces on one axis that also counts the special tokens of each document. The sample
    # that starts at a piece ends before the first piece whose end is further than the target from
    # the start of the piece and its document's special tokens. `following` is the start of the next
    # sample for every possible start.
    special = num_special_tokens * np.cumsum(begins_document)
    ends = np.cumsum(length)
    origin = ends - length + special - num_special_tokens
    following = np.searchsorted(ends + special, origin + target, side="right")
    np.maximum(following, np.arange(num_pieces) + 1, out=following)
    first_piece = np.array(walk(following.tolist()), np.int64)

    begins_sequence = begins_document
    begins_sequence[first_piece] = True
    first_of_sequence = np.flatnonzero(begins_sequence)
    last_of_sequence = np.append(first_of_sequence[1:], num_pieces)[: len(first_of_sequence)] - 1
    return FullSentencesPlan(
        start=start[first_of_sequence],
        end=start[last_of_sequence] + length[last_of_sequence],
        first_sequence=np.append(
            np.searchsorted(first_of_sequence, first_piece), len(first_of_sequence)
        ),
        num_cut_sentences=num_cut,
    )


def _pieces(
    offsets: Int64Array, document_offsets: Int64Array, order: Int64Array, longest: int
) -> tuple[Int64Array, Int64Array, Int64Array, int]:
    """Returns the sentences of documents in an order, split into pieces if longer than `longest`.

    Returns:
        Starts `[pieces]`, lengths `[pieces]`, the index of each piece's document in the order
        `[pieces]`, and the number of sentences that were split.
    """
    sizes = np.diff(document_offsets)[order]
    sentences = concatenated_ranges(document_offsets[order], sizes)
    document = np.repeat(np.arange(len(order)), sizes)
    start, end = offsets[sentences], offsets[sentences + 1]

    num_pieces = -(-(end - start) // longest)
    place = concatenated_ranges(np.zeros_like(num_pieces), num_pieces)
    piece_start = np.repeat(start, num_pieces) + longest * place
    piece_end = np.minimum(piece_start + longest, np.repeat(end, num_pieces))
    return (
        piece_start,
        piece_end - piece_start,
        np.repeat(document, num_pieces),
        int((num_pieces > 1).sum()),
    )
