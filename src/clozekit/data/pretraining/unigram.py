"""The entropy of the frequencies of tokens: the loss of a model that knows nothing else."""

from collections.abc import Sequence

import numpy as np

from clozekit.corpus.shard_files import ShardFile
from clozekit.corpus.shards import TokenArray
from clozekit.data.order import shard_order

MOST_TOKENS = 2_000_000
"""The number of tokens from which the frequencies are estimated."""


def unigram_entropy(tokens: TokenArray) -> float:
    """Returns the entropy of the frequencies of `[tokens]` ids, in nats.

    The tokens of a shard are text: they have no [CLS], [SEP] or [PAD]. [UNK] counts, as it may be
    masked too. The estimate of Miller (1955) corrects for rare tokens that a sample lacks.
    """
    _, counts = np.unique(tokens, return_counts=True)
    total = int(counts.sum())
    shares = counts / total
    return float(-(shares * np.log(shares)).sum() + (len(counts) - 1) / (2 * total))


def entropy_of_first_shard(shards: Sequence[ShardFile], seed: int) -> float | None:
    """Estimates the entropy from the first shard that training reads and that has tokens.

    Args:
        shards: The shards of the training split.
        seed: The seed of their order.
    """
    for index in shard_order(len(shards), seed, 0).tolist():
        tokens = shards[index].open().tokens
        if len(tokens):
            # Documents are in no order, so the first ones are a fair sample.
            return unigram_entropy(tokens[:MOST_TOKENS])
    return None
