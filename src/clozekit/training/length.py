"""The number of optimizer steps of a run, from passes over the data, tokens or seconds."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from clozekit.config.train import TrainConfig
from clozekit.config.values import LARGEST
from clozekit.data.module import StreamDataModule
from clozekit.data.order import Span
from clozekit.data.stream import Phase, Source
from clozekit.errors import ConfigError

_SAMPLES_LOOKED_AT = 4096


def max_steps_of(config: TrainConfig, datamodule: StreamDataModule) -> int:
    """Returns the number of optimizer steps of a run whose length is not a budget.

    Raises:
        ConfigError: `max_tokens` is less than the tokens of one step, or the number of steps is
            less than `trainer.min_steps`.
    """
    max_steps = _max_steps_of(config, datamodule)
    min_steps = (config.trainer.model_extra or {}).get("min_steps") or 0
    if min_steps > max_steps:
        raise ConfigError(
            f"trainer.min_steps={min_steps} is more than the {max_steps} steps of the run; "
            "it should be at most as many"
        )
    return max_steps


def _max_steps_of(config: TrainConfig, datamodule: StreamDataModule) -> int:
    if config.max_steps is not None:
        return config.max_steps
    if config.max_tokens is not None:
        return _steps_of_tokens(config.max_tokens, datamodule)
    assert config.max_epochs is not None
    steps_per_epoch = datamodule.steps_per_epoch()
    for limit in (config.trainer.limit_train_batches, config.trainer.overfit_batches):
        if limit:
            steps_per_epoch = min(steps_per_epoch, steps_of_share(limit, steps_per_epoch))
    return max(1, math.ceil(config.max_epochs * steps_per_epoch))


def steps_of_share(share: float, steps_per_epoch: float) -> int:
    """Converts a limit to steps: an int is returned as is, a float is a fraction of an epoch."""
    return share if isinstance(share, int) else max(1, int(share * steps_per_epoch))


def steps_in_phases(datamodule: StreamDataModule, max_steps: int, first_step: int = 0) -> list[int]:
    """Returns the number of steps from `first_step` on in each phase of a run."""
    starts = [phase.first_step for phase in datamodule.phases(max_steps, 0, 1)]
    bounds = [max(first_step, min(start, max_steps)) for start in [*starts, max_steps]]
    return [end - begin for begin, end in pairwise(bounds)]


def tokens_per_step(phase: Phase) -> float:
    """Returns the mean number of tokens of a phase's steps, without padding.

    It is estimated from samples of the first shard that has any, evenly spaced in it; in a mixture,
    from one of each source.
    """
    shards, weights = [range(phase.source.num_shards)], [1]
    if phase.mixture is not None:
        shards, weights = list(phase.mixture.shards), list(phase.mixture.weights)
    means = [_tokens_per_sample(phase.source, each) for each in shards]
    mean = sum(n * weight for n, weight in zip(means, weights, strict=True)) / sum(weights)
    return phase.shape.global_batch_size * mean


def _tokens_per_sample(source: Source, shards: range) -> float:
    for shard in shards:
        if number := source.num_samples(0, shard):
            size = min(number, _SAMPLES_LOOKED_AT)
            samples = np.linspace(0, number - 1, size).astype(np.int64)
            return source.totals([Span(0, shard, samples)]).num_tokens / size
    return 0.0


def most_steps(cost: Callable[[int], float], limit: float) -> int:
    """Returns the largest number of steps whose cost is at most a limit; 0 if one costs more.

    Args:
        cost: The cost of a number of steps; it grows with the number.
        limit: The limit.
    """
    fits, exceeds = 0, 1
    while exceeds <= LARGEST and cost(exceeds) <= limit:
        fits, exceeds = exceeds, 2 * exceeds
    while exceeds - fits > 1:
        middle = (fits + exceeds) // 2
        fits, exceeds = (middle, exceeds) if cost(middle) <= limit else (fits, middle)
    return min(fits, LARGEST)


def _steps_of_tokens(max_tokens: int, datamodule: StreamDataModule) -> int:
    tokens = [tokens_per_step(phase) for phase in datamodule.phases(LARGEST, 0, 1)]

    def cost(max_steps: int) -> float:
        steps = steps_in_phases(datamodule, max_steps)
        return sum(n * each for n, each in zip(steps, tokens, strict=True))

    most = most_steps(cost, max_tokens)
    if most == 0:
        raise ConfigError(
            f"max_tokens={max_tokens} is less than the about {cost(1):,.0f} tokens of one step of "
            f"global_batch_size={datamodule.global_batch_size}"
        )
    return most
