"""Sentence pairs for NSP or sentence order, planned per shard with array operations.

The rules are those of `create_pretraining_data.py` in google-research/bert, with one difference.
There, a random B is taken from anywhere and the sentences that it displaced are put back, so
more than half of the pairs are random and the lengths of a pair reveal its label. Here, half of
the pairs exchange their Bs with pairs from other documents whose Bs have nearly the same length.
So exactly half are random, every sentence occurs once per epoch, and lengths reveal nothing.

For sentence order (Lan et al., 2020, section 3.1), A and B are consecutive, and swapped in half of
the pairs.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clozekit import rng
from clozekit.config.data import PairObjective
from clozekit.data.pretraining.random_segments import chosen_half, exchange_partners

Int64Array = NDArray[np.int64]


@dataclass(frozen=True)
class PairPlan:
    """Every pair of a shard in one epoch, as slices of the shard's tokens.

    Attributes:
        a_start: `[pairs]`, int64. A is `tokens[a_start:a_end]`, already truncated.
        a_end: `[pairs]`, int64.
        b_start: `[pairs]`, int64. B is `tokens[b_start:b_end]`, already truncated.
        b_end: `[pairs]`, int64.
        next_sentence_label: `[pairs]`, int64. 0 if B continues A, 1 if B is random. For
            sentence order, 1 if A continues B.
        first_sentence: `[pairs]`, int64. The index of A's first sentence, which identifies the
            pair.
        num_lone_sentences: The number of last sentences of documents that are in no pair because
            no sentence is left to pair them with.
        num_truncated_tokens: The number of tokens that did not fit.
    """

    a_start: Int64Array
    a_end: Int64Array
    b_start: Int64Array
    b_end: Int64Array
    next_sentence_label: Int64Array
    first_sentence: Int64Array
    num_lone_sentences: int
    num_truncated_tokens: int

    def __len__(self) -> int:
        return len(self.first_sentence)

    @cached_property
    def num_text_tokens(self) -> Int64Array:
        """`[pairs]`: the number of tokens of A and B, without special tokens."""
        return (self.a_end - self.a_start) + (self.b_end - self.b_start)

    def num_text_tokens_of(self, samples: Int64Array) -> Int64Array:
        """Returns `[pairs]`, the number of tokens of A and B of the pairs `samples`."""
        return self.num_text_tokens[samples]


def plan_pairs(
    sentence_offsets: NDArray[np.integer[Any]],
    document_offsets: NDArray[np.integer[Any]],
    *,
    max_seq_length: int,
    short_seq_prob: float,
    key: tuple[int, int, int],
    num_special_tokens: int = 3,
    objective: PairObjective = "next_sentence",
) -> PairPlan:
    """Plans the pairs of one shard for one epoch.

    Args:
        sentence_offsets: `[sentences + 1]`. The start of each sentence in the shard's tokens.
        document_offsets: `[documents + 1]`. The start of each document in the shard's sentences.
        max_seq_length: The maximum length of a sequence, including special tokens.
        short_seq_prob: The probability of a shorter target length, drawn uniformly from 2 up.
        key: (seed, epoch, shard), the key of all random draws.
        num_special_tokens: The number of special tokens of a pair; 3 for `[CLS] A [SEP] B [SEP]`.
        objective: `next_sentence` exchanges the Bs of half of the pairs; `sentence_order` swaps A
            and B in half of them.

    Returns:
        The pairs in the order of their first sentences.
    """
    seed, epoch, shard = key
    offsets = sentence_offsets.astype(np.int64)
    budget = max_seq_length - num_special_tokens

    is_of_order = objective == "sentence_order"
    begins, ends, num_lone = (_chunks_from_both_ends if is_of_order else _chunks)(
        offsets, document_offsets, budget=budget, short_seq_prob=short_seq_prob, key=key
    )
    sentences_in_a = 1 + rng.below(ends - begins - 1, seed, rng.Stream.SPLIT, epoch, shard, begins)
    a_start, a_end = offsets[begins], offsets[begins + sentences_in_a]
    b_start, b_end = a_end, offsets[ends]

    if is_of_order:
        is_other = chosen_half(begins, key)
        # Before they are cut, so that the lengths of a pair do not reveal its label.
        a_start, b_start = _swapped(a_start, b_start, is_other)
        a_end, b_end = _swapped(a_end, b_end, is_other)
    else:
        document = np.searchsorted(document_offsets, begins, side="right")
        owner = exchange_partners(b_end - b_start, document, begins, key=key)
        b_start, b_end = b_start[owner], b_end[owner]
        is_other = owner != np.arange(len(owner))

    cut_a, cut_b = _excess(a_end - a_start, b_end - b_start, budget)
    front_a = rng.binomial_half(cut_a, seed, rng.Stream.TRUNCATE_A, epoch, shard, begins)
    front_b = rng.binomial_half(cut_b, seed, rng.Stream.TRUNCATE_B, epoch, shard, begins)
    return PairPlan(
        a_start=a_start + front_a,
        a_end=a_end - (cut_a - front_a),
        b_start=b_start + front_b,
        b_end=b_end - (cut_b - front_b),
        next_sentence_label=is_other.astype(np.int64),
        first_sentence=begins,
        num_lone_sentences=num_lone,
        num_truncated_tokens=int(cut_a.sum() + cut_b.sum()),
    )


def _swapped(
    first: Int64Array, second: Int64Array, is_swapped: NDArray[np.bool_]
) -> tuple[Int64Array, Int64Array]:
    return np.where(is_swapped, second, first), np.where(is_swapped, first, second)


def _chunks(
    offsets: Int64Array,
    document_offsets: NDArray[np.integer[Any]],
    *,
    budget: int,
    short_seq_prob: float,
    key: tuple[int, int, int],
) -> tuple[Int64Array, Int64Array, int]:
    """Splits the documents into runs of two or more sentences.

    Returns:
        First sentences `[pairs]`, ends `[pairs]` (exclusive), and the number of lone sentences.
    """
    seed, epoch, shard = key
    num_sentences = len(offsets) - 1
    sentences = np.arange(num_sentences)

    target = np.full(num_sentences, budget)
    is_short = rng.uniform(seed, rng.Stream.SHORT_TARGET, epoch, shard, sentences) < short_seq_prob
    short = sentences[is_short]
    target[short] = 2 + rng.below(budget - 1, seed, rng.Stream.TARGET_LENGTH, epoch, shard, short)

    # For every possible start, the end of its chunk: where the target length is reached, but after
    # at least two sentences and not beyond the document.
    end = np.searchsorted(offsets, offsets[:-1] + target)
    np.maximum(end, sentences + 2, out=end)
    documents_sizes = np.diff(document_offsets)
    np.minimum(end, np.repeat(document_offsets[1:], documents_sizes), out=end)

    begins = np.array(walk(end.tolist()), np.int64)
    ends = end[begins]
    is_pair = ends - begins > 1
    return begins[is_pair], ends[is_pair], int((~is_pair).sum())


def _chunks_from_both_ends(
    offsets: Int64Array,
    document_offsets: NDArray[np.integer[Any]],
    *,
    budget: int,
    short_seq_prob: float,
    key: tuple[int, int, int],
) -> tuple[Int64Array, Int64Array, int]:
    """Splits half of the documents as `_chunks` does, and the other half from their ends.

    The sentence that reaches a target length is longer than others on average. At the end of every
    chunk, it would make B longer than A, and reveal which of two swapped texts was B.
    """
    seed, epoch, shard = key
    sizes = np.diff(document_offsets)
    number = np.arange(len(sizes))
    is_reversed = rng.uniform(seed, rng.Stream.DOCUMENT_ORDER, epoch, shard, number) < 0.5
    document = np.repeat(number, sizes)
    # The place of a sentence in its document read from the other end.
    mirrored = (document_offsets[:-1] + document_offsets[1:])[document] - 1
    sentences = np.arange(len(document))
    order = np.where(is_reversed[document], mirrored - sentences, sentences)
    read = np.concatenate([[0], np.cumsum(np.diff(offsets)[order])])
    begins, ends, num_lone = _chunks(
        read, document_offsets, budget=budget, short_seq_prob=short_seq_prob, key=key
    )
    is_mirrored, sums = is_reversed[document[begins]], mirrored[begins] + 1
    first = np.where(is_mirrored, sums - ends, begins)
    last = np.where(is_mirrored, sums - begins, ends)
    by_place = np.argsort(first)
    return first[by_place], last[by_place], num_lone


def walk(next_of: list[int]) -> list[int]:
    """Returns 0, `next_of[0]`, `next_of[next_of[0]]` and so on, up to the end of `next_of`."""
    begins: list[int] = []
    sentence, num_sentences = 0, len(next_of)
    while sentence < num_sentences:
        begins.append(sentence)
        sentence = next_of[sentence]
    return begins


def _excess(
    a_length: Int64Array, b_length: Int64Array, budget: int
) -> tuple[Int64Array, Int64Array]:
    """Returns the numbers of tokens to remove, one at a time from the longer one (B in a tie)."""
    kept_a = np.minimum(a_length, np.maximum(budget - budget // 2, budget - b_length))
    kept_b = np.minimum(b_length, np.maximum(budget // 2, budget - a_length))
    return a_length - kept_a, b_length - kept_b
