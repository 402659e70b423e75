"""Timing in strict alternation: every program takes a step, then every one its next."""

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812

from clozekit.models.kernels import onednn

Step = Any


def seconds_in_turn(
    programs: Mapping[str, Sequence[Step]], repetitions: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Runs the steps of all programs in turn.

    Args:
        programs: Of every program its steps, as many as the others have.
        repetitions: How often all steps are gone through and timed.
        warm_up: How often they are gone through before.

    Returns:
        Of every program the seconds of all its steps together, a value a repetition.
    """
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for repetition in range(-warm_up, repetitions):
        totals = dict.fromkeys(programs, 0.0)
        for steps in zip(*programs.values(), strict=True):
            for name, step in zip(programs, steps, strict=True):
                began = time.perf_counter()
                step()
                totals[name] += time.perf_counter() - began
        if repetition >= 0:
            for name, total in totals.items():
                seconds[name].append(total)
    return seconds


def spread(values: Sequence[float]) -> dict[str, float]:
    """Gives the median and the ends of what was measured."""
    return {
        "median": statistics.median(values),
        "lowest": min(values),
        "highest": max(values),
    }


def rates(num_tokens: float, seconds: Sequence[float]) -> dict[str, float]:
    """Turns seconds into tokens a second."""
    return spread([num_tokens / value for value in seconds])


def ratios(theirs: Sequence[float], ours: Sequence[float]) -> dict[str, float]:
    """Compares repetition by repetition: how often ours goes into theirs."""
    return spread([a / b for a, b in zip(theirs, ours, strict=True)])


def matrix_product_rates(repetitions: int = 7) -> dict[str, float]:
    """Measures the fastest float32 products of torch, in operations a second.

    Returns:
        The rate of `a @ b`, and that of oneDNN's products, which clozekit takes where torch has
        them (otherwise the first once more).
    """
    best = {"a @ b": 0.0, "oneDNN": 0.0}
    for rows, inner, columns in ((1024, 768, 3072), (1024, 3072, 768), (2048, 2048, 2048)):
        left, right = torch.randn(rows, inner), torch.randn(inner, columns)
        multiply = onednn.product if onednn.can_multiply(left, right.t()) else F.linear
        seconds = seconds_in_turn(
            {
                "a @ b": [lambda a=left, b=right: a @ b],
                "oneDNN": [lambda a=left, b=right, by=multiply: by(a, b.t())],
            },
            repetitions,
        )
        for library, of in seconds.items():
            rate = 2 * rows * inner * columns / statistics.median(of)
            best[library] = max(best[library], rate)
    return best
