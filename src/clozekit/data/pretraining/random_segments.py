"""Assigns random Bs: half of the pairs exchange their Bs with pairs of similar length of B."""

import numpy as np
from numpy.typing import NDArray

from clozekit import rng

NEIGHBOURS = 64
"""The number of pairs, adjacent when sorted by the length of B, that exchange their Bs."""

REPAIR_ROUNDS = 256
"""The maximum number of attempts to repair exchanges inside a document before they are undone."""

Int64Array = NDArray[np.int64]


def exchange_partners(
    b_length: Int64Array, document: Int64Array, identity: Int64Array, *, key: tuple[int, int, int]
) -> Int64Array:
    """Assigns Bs from other documents to half of the pairs.

    Args:
        b_length: `[pairs]`. The length of each pair's original B.
        document: `[pairs]`. The document of each pair.
        identity: `[pairs]`. A number that identifies each pair in its shard, for random draws.
        key: (seed, epoch, shard), the key of all random draws.

    Returns:
        `[pairs]`, a permutation: the pair whose B each pair receives. A pair that receives its own
        B stays a true pair. These are one half of the pairs (the larger half, if the number is odd)
        and the few pairs whose neighbours have no B from another document.
    """
    seed, epoch, shard = key
    chosen = np.flatnonzero(chosen_half(identity, key))
    owner = np.arange(len(identity))
    if len(chosen) > 1:
        shuffle = rng.hash64(seed, rng.Stream.EXCHANGE, epoch, shard, identity[chosen])
        owner[chosen] = chosen[_exchange(b_length[chosen], document[chosen], shuffle, key)]
    return owner


def chosen_half(identity: Int64Array, key: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Chooses half of the pairs at random, the smaller half if the number is odd.

    Args:
        identity: `[pairs]`. A number that identifies each pair in its shard.
        key: (seed, epoch, shard), the key of all random draws.

    Returns:
        `[pairs]`, bool.
    """
    seed, epoch, shard = key
    draws = rng.hash64(seed, rng.Stream.RANDOM_NEXT, epoch, shard, identity)
    is_chosen = np.zeros(len(identity), bool)
    is_chosen[np.argsort(draws, kind="stable")[: len(identity) // 2]] = True
    return is_chosen


def _exchange(
    b_length: Int64Array,
    document: Int64Array,
    shuffle: NDArray[np.uint64],
    key: tuple[int, int, int],
) -> Int64Array:
    """Permutes Bs within blocks so that, if possible, none stays in its document."""
    num_pairs = len(b_length)
    # Equal lengths are shuffled, so that the pairs of a document are not adjacent.
    by_length = np.lexsort((shuffle, b_length))
    num_blocks = max(1, num_pairs // NEIGHBOURS)
    block = np.minimum(np.arange(num_pairs) // NEIGHBOURS, num_blocks - 1)
    block_begin = np.arange(num_blocks) * NEIGHBOURS
    block_end = np.append(block_begin[1:], num_pairs)

    giver = by_length[np.lexsort((shuffle[by_length], block))]
    following = np.arange(num_pairs) + 1
    following[block_end - 1] = block_begin
    received = giver[following]

    _repair(document[giver], giver, received, document, block, block_begin, block_end, key)
    _restore(document, giver, received)
    owner = np.empty(num_pairs, np.int64)
    owner[giver] = received
    return owner


def _repair(
    own_document: Int64Array,
    giver: Int64Array,
    received: Int64Array,
    document: Int64Array,
    block: Int64Array,
    block_begin: Int64Array,
    block_end: Int64Array,
    key: tuple[int, int, int],
) -> None:
    """Swaps Bs within blocks, in place, until no pair has a B from its own document.

    Each round repairs at most one pair per block, so that the swaps of a round cannot collide.
    """
    seed, epoch, shard = key
    for attempt in range(REPAIR_ROUNDS):
        wrong = np.flatnonzero(own_document == document[received])
        if not len(wrong):
            return
        # The order of a block's wrong pairs changes in every round, so that a pair that cannot be
        # repaired does not block the others.
        drawn = rng.hash64(seed, rng.Stream.EXCHANGE_REPAIR, epoch, shard, attempt, wrong)
        wrong = wrong[np.lexsort((drawn, block[wrong]))]
        wrong = wrong[np.unique(block[wrong], return_index=True)[1]]
        size = (block_end - block_begin)[block[wrong]]
        drawn_again = rng.below(
            size, seed, rng.Stream.EXCHANGE_REPAIR, epoch, shard, attempt, wrong, 1
        )
        other = block_begin[block[wrong]] + drawn_again
        fits = (own_document[wrong] != document[received[other]]) & (
            own_document[other] != document[received[wrong]]
        )
        left, right = wrong[fits], other[fits]
        received[left], received[right] = received[right], received[left]


def _restore(document: Int64Array, giver: Int64Array, received: Int64Array) -> None:
    """Gives pairs that could not be repaired their own B back, in place; they stay true pairs.

    The pair that held that B takes the B that was received instead. That B is from a document other
    than the holder's, unless the holder is itself such a pair; then its turn comes later.
    """
    wrong = np.flatnonzero((document[giver] == document[received]) & (giver != received))
    if not len(wrong):
        return
    holder_of = np.empty(len(giver), np.int64)
    holder_of[received] = np.arange(len(giver))
    for place in wrong.tolist():
        own, held = giver[place], received[place]
        holder = holder_of[own]
        received[place], received[holder] = own, held
        holder_of[own], holder_of[held] = place, holder
