"""The entropy of the frequencies of tokens: the loss of a model that knows nothing else."""

from collections.abc import Sequence

import numpy as np

from clozekit.corpus.shard_files import ShardFile
from clozekit.corpus.shards import TokenArray
from clozekit.data.order import shard_order

MOST_TOKENS = 2_000_000
"""The number of tokens from which the frequencies are estimated."""


def unigram_entropy(sources: Sequence[TokenArray], weights: Sequence[float]) -> float:
    """Returns the entropy of the frequencies of token ids, in nats.

    The tokens of a shard are text: they have no [CLS], [SEP] or [PAD]. [UNK] counts, as it may be
    masked too. The estimate of Miller (1955) corrects for rare tokens that a sample lacks.

    Args:
        sources: `[tokens]` of each source.
        weights: The share of each source; they are divided by their sum.
    """
    size = 1 + max(int(tokens.max()) for tokens in sources)
    shares = np.zeros(size)
    for tokens, weight in zip(sources, weights, strict=True):
        counts = np.bincount(tokens, minlength=size)
        shares += weight / sum(weights) * counts / counts.sum()
    seen = shares[shares > 0]
    total = sum(map(len, sources))
    return float(-(seen * np.log(seen)).sum() + (len(seen) - 1) / (2 * total))


def entropy_of_sources(
    sources: Sequence[Sequence[ShardFile]], weights: Sequence[float], seed: int
) -> float | None:
    """Estimates the entropy from the first shard of each source that training reads.

    Args:
        sources: The shards of the training split, for each source.
        weights: The share of each source.
        seed: The seed of the shards' order.
    """
    samples = [_first_tokens(shards, seed) for shards in sources]
    found = [(tokens, w) for tokens, w in zip(samples, weights, strict=True) if tokens is not None]
    if not found:
        return None
    return unigram_entropy([tokens for tokens, _ in found], [weight for _, weight in found])


def _first_tokens(shards: Sequence[ShardFile], seed: int) -> TokenArray | None:
    for index in shard_order(len(shards), seed, 0).tolist():
        tokens = shards[index].open().tokens
        if len(tokens):
            # Documents are in no order, so the first ones are a fair sample.
            sample: TokenArray = tokens[:MOST_TOKENS].copy()
            shards[index].release()
            return sample
    return None
