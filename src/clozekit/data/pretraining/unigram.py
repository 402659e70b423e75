"""The entropy of the frequencies of tokens: the loss of a model that knows nothing else."""

from collections.abc import Sequence

import numpy as np

from clozekit.corpus.shard_files import ShardFile
from clozekit.corpus.shards import TokenArray
from clozekit.data.order import shard_order

MOST_TOKENS = 2_000_000
"""The number of tokens from which the frequencies are estimated."""


def unigram_entropy(texts: Sequence[TokenArray], weights: Sequence[float] = (1,)) -> float:
    """Returns the entropy of the frequencies of ids, in nats.

    The tokens of a shard are text: they have no [CLS], [SEP] or [PAD]. [UNK] counts, as it may be
    masked too. The estimate of Miller (1955) corrects for rare tokens that a sample lacks.

    Args:
        texts: The ids of each source, `[tokens]`.
        weights: The weight of each source.
    """
    total, share = sum(map(len, texts)), sum(weights)
    shares = np.zeros(1 + max(int(tokens.max()) for tokens in texts))
    for tokens, weight in zip(texts, weights, strict=True):
        shares += np.bincount(tokens, minlength=len(shares)) * (weight / share / len(tokens))
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum() + (len(shares) - 1) / (2 * total))


def first_tokens(shards: Sequence[ShardFile], seed: int) -> TokenArray | None:
    """Returns tokens of the first shard that training reads and that has any.

    Args:
        shards: The shards of the training split.
        seed: The seed of their order.
    """
    for index in shard_order(len(shards), seed, 0).tolist():
        tokens = shards[index].open().tokens
        if len(tokens):
            # Documents are in no order, so the first ones are a fair sample.
            first: TokenArray = tokens[:MOST_TOKENS]
            return first
    return None
