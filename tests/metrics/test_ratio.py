"""Means of an evaluation: exact, and NaN if the model computes NaN."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from clozekit.metrics.ratio import Ratio


@given(st.lists(st.tuples(st.floats(0, 1e4, width=32), st.integers(1, 10**6)), min_size=1))
def test_it_is_the_sum_over_all_targets_by_their_number(batches: list[tuple[float, int]]) -> None:
    mean = Ratio()
    for total, count in batches:
        mean.update(torch.tensor(total), count)
    expected = math.fsum(t for t, _ in batches) / sum(n for _, n in batches)
    assert float(mean.compute()) == pytest.approx(expected, rel=1e-12)


def test_nan_is_not_left_out() -> None:
    mean = Ratio()
    mean.update(torch.tensor(torch.nan), 1)
    mean.update(torch.tensor(2.0), 1)
    assert mean.compute().isnan()


def test_a_batch_without_targets_changes_nothing() -> None:
    mean = Ratio()
    mean.update(torch.tensor(0.0), 0)
    assert mean.compute().isnan()
    mean.update(torch.tensor(6.0), 3)
    assert float(mean.compute()) == 2.0


def test_a_large_sum_keeps_its_last_target() -> None:
    mean = Ratio()
    mean.update(torch.tensor(2.0**25), 2**25)
    mean.update(torch.tensor(0.0), 1)
    assert float(mean.compute()) == 2**25 / (2**25 + 1) != 1.0


def test_gradients_are_not_kept() -> None:
    loss = nn.Linear(2, 1)(torch.ones(1, 2)).sum()
    mean = Ratio()
    mean.update(loss, 1)
    assert not mean.total.requires_grad
