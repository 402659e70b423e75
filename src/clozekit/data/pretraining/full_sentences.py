"""Whole sentences packed to a length, for MLM alone, planned for a shard by array operations.

A sample is a run of sentences that may lie across the end of a document, as in the FULL-SENTENCES
of RoBERTa (Liu et al., 2019, section 4.2). There the documents in a sample are one sequence; here
each document's part is a sequence of its own, `[CLS] text [SEP]`, with its own positions, and sees
nothing of the others. So a sample is about as long as it may be whatever the documents are, nothing
is left out, and what a token is predicted from always belongs to it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clozekit import rng
from clozekit.data.order import concatenated_ranges
from clozekit.data.pretraining.pairs import walk

NUM_SPECIAL_TOKENS = 2
"""[CLS] text [SEP]."""

Int64Array = NDArray[np.int64]


@dataclass(frozen=True)
class FullSentencesPlan:
    """Every sample of a shard in one epoch, as sequences that are slices of the shard's tokens.

    Attributes:
        start: `[sequences]`, int64. A sequence's text is `tokens[start:end]`, of one document; its
            start names it, for every token stands once.
        end: `[sequences]`, int64.
        first_sequence: `[samples + 1]`, int64. Sample i has the sequences `first_sequence[i]` to
            `first_sequence[i + 1]`.
        num_cut_sentences: Sentences that are longer than a sequence, and so in several of them.
    """

    start: Int64Array
    end: Int64Array
    first_sequence: Int64Array
    num_cut_sentences: int

    def __len__(self) -> int:
        return len(self.first_sequence) - 1

    @cached_property
    def num_text_tokens(self) -> Int64Array:
        """`[sequences]`: the tokens of the text, without special tokens."""
        return self.end - self.start

    def sequences_of(self, samples: Int64Array) -> Int64Array:
        """Lists the sequences of samples, one sample after the other."""
        first = self.first_sequence[samples]
        return concatenated_ranges(first, self.first_sequence[samples + 1] - first)

    def num_text_tokens_of(self, samples: Int64Array) -> Int64Array:
        """Gives `[sequences]`, the text tokens of the samples' sequences."""
        return self.num_text_tokens[self.sequences_of(samples)]


def plan_full_sentences(
    sentence_offsets: NDArray[np.integer[Any]],
    document_offsets: NDArray[np.integer[Any]],
    *,
    max_seq_length: int,
    short_seq_prob: float,
    key: tuple[int, int, int],
) -> FullSentencesPlan:
    """Plans the samples of one shard for one epoch.

    Documents follow each other in an order of the epoch's own. A sample takes whole sentences as
    long as they fit, with the special tokens of every document that it touches. A sentence that is
    longer than a sequence by itself is cut into pieces, each as long as may be but for the last.

    Args:
        sentence_offsets: `[sentences + 1]`. Where each sentence begins in the shard's tokens.
        document_offsets: `[documents + 1]`. Where each document begins in the shard's sentences.
        max_seq_length: The most tokens of a sample, the special tokens of its sequences included.
        short_seq_prob: The probability that a sample aims at a shorter length, drawn uniformly. So
            long documents are cut elsewhere in every epoch, and have short sequences too.
        key: (seed, epoch, shard): what every draw depends on.

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
        order,
        max_seq_length - NUM_SPECIAL_TOKENS,
    )
    num_pieces = len(start)
    begins_document = np.diff(document, prepend=-1) != 0

    target = np.full(num_pieces, max_seq_length)
    is_short = rng.uniform(seed, rng.Stream.SHORT_TARGET, epoch, shard, start) < short_seq_prob
    least = NUM_SPECIAL_TOKENS + 1
    target[is_short] = least + rng.below(
        max_seq_length - least + 1, seed, rng.Stream.TARGET_LENGTH, epoch, shard, start[is_short]
    )

    # All pieces in one line: the tokens up to the end of each, with the special tokens of all
    # documents up to its own. The next of the sample that would begin at a piece is the first whose
    # end lies further than the target from where the piece and its document's special tokens begin.
    special = NUM_SPECIAL_TOKENS * np.cumsum(begins_document)
    ends = np.cumsum(length)
    origin = ends - length + special - NUM_SPECIAL_TOKENS
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
    """Lists the sentences of documents in an order, those longer than `longest` in pieces.

    Returns:
        Starts `[pieces]`, lengths `[pieces]`, the documents' places in the order `[pieces]`, and
        the number of sentences in several pieces.
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
