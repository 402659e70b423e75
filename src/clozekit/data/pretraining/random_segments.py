"""Which pairs receive a random B, and whose: an exchange among neighbours in the length of B."""

import numpy as np
from numpy.typing import NDArray

from clozekit import rng

NEIGHBOURS = 64
"""How many pairs, next to each other in the length of B, exchange their Bs among themselves."""

REPAIR_ROUNDS = 256
"""How often an exchange inside one document is tried to be mended before its pair stays true."""

Int64Array = NDArray[np.int64]


def exchange_partners(
    b_length: Int64Array, document: Int64Array, identity: Int64Array, *, key: tuple[int, int, int]
) -> Int64Array:
    """Gives half of the pairs the B of another document.

    Args:
        b_length: `[pairs]`. The length of each pair's own B.
        document: `[pairs]`. The document that each pair comes from.
        identity: `[pairs]`. A number that names each pair in its shard, for the draws.
        key: (seed, epoch, shard).

    Returns:
        `[pairs]`, a permutation: whose B each pair receives. Where it is the pair itself, the pair
        stays true: one half (the larger, of an odd number), and besides those the few for which the
        neighbours hold no B of another document.
    """
    seed, epoch, shard = key
    num_pairs = len(identity)
    draws = rng.hash64(seed, rng.Stream.RANDOM_NEXT, epoch, shard, identity)
    chosen = np.sort(np.argsort(draws, kind="stable")[: num_pairs // 2])
    owner = np.arange(num_pairs)
    if len(chosen) > 1:
        shuffle = rng.hash64(seed, rng.Stream.EXCHANGE, epoch, shard, identity[chosen])
        owner[chosen] = chosen[_exchange(b_length[chosen], document[chosen], shuffle, key)]
    return owner


def _exchange(
    b_length: Int64Array,
    document: Int64Array,
    shuffle: NDArray[np.uint64],
    key: tuple[int, int, int],
) -> Int64Array:
    """Permutes Bs within blocks of neighbours so that none stays in its document, if possible."""
    num_pairs = len(b_length)
    # Equal lengths in drawn order, so that one document's pairs do not stand together.
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
    """Swaps received Bs inside blocks, in place, until none comes from its receiver's document.

    Each round mends at most one place a block, so that the swaps of a round cannot collide.
    """
    seed, epoch, shard = key
    for attempt in range(REPAIR_ROUNDS):
        wrong = np.flatnonzero(own_document == document[received])
        if not len(wrong):
            return
        # Another of a block's wrong places comes first in every round, so that none is stuck behind
        # one that cannot be mended.
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
    """Gives pairs that could not be mended their own B back, in place; they stay true.

    Who held that B takes what the pair had received: a B of the pair's own document, which differs
    from the holder's unless the holder is itself such a pair, and then its turn comes.
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
