"""Correlations of scores are scipy's, and 0 where nothing varies."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from clozekit.metrics.correlation import ScoreMetrics

# Few values, so that ties are common.
scores = st.sampled_from([-2.0, 0.0, 0.5, 1.0, 3.25]) | st.floats(-5, 5, width=16)
pairs_of_scores = st.lists(st.tuples(scores, scores), min_size=2, max_size=20)


def computed(*batches: list[tuple[float, float]]) -> dict[str, float]:
    metric = ScoreMetrics()
    for batch in batches:
        metric.update(*torch.tensor(batch).view(-1, 2).unbind(dim=1))
    return {name: value.item() for name, value in metric.compute().items()}


@settings(max_examples=100, deadline=None)
@given(pairs_of_scores, st.integers(1, 20))
def test_correlations_and_the_squared_error_are_those_of_all_rows(
    pairs: list[tuple[float, float]], size: int
) -> None:
    ours = computed(*(pairs[begin : begin + size] for begin in range(0, len(pairs), size)))
    guesses, golds = zip(*pairs, strict=True)
    assert ours["mse"] == pytest.approx(sum((a - b) ** 2 for a, b in pairs) / len(pairs), rel=1e-5)
    if 1 in (len(set(guesses)), len(set(golds))):
        assert ours["pearson"] == ours["spearman"] == 0
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of nearly constant scores
        assert ours["pearson"] == pytest.approx(stats.pearsonr(guesses, golds)[0], abs=1e-5)
    assert ours["spearman"] == pytest.approx(stats.spearmanr(guesses, golds)[0], abs=1e-5)


@pytest.mark.parametrize("offset", [0.0, 100.0, 1000.0])
def test_correlations_are_exact_for_scores_far_from_zero(offset: float) -> None:
    generator = torch.Generator().manual_seed(0)
    golds = torch.rand(3000, generator=generator) + offset
    guesses = golds + torch.randn(3000, generator=generator)
    metric = ScoreMetrics()
    metric.update(guesses, golds)
    ours = metric.compute()
    expected = stats.pearsonr(guesses.double(), golds.double())[0]
    assert ours["pearson"].item() == pytest.approx(expected, abs=1e-5)
    assert ours["spearman"].item() == pytest.approx(stats.spearmanr(guesses, golds)[0], abs=1e-5)


@pytest.mark.parametrize(
    ("pairs", "mse"),
    [([(1.0, 2.0)], 1.0), ([(3.0, 1.0), (3.0, 2.0)], 2.5), ([(1.0, 3.0)] * 4, 4.0)],
)
def test_what_does_not_vary_has_a_correlation_of_0(
    pairs: list[tuple[float, float]], mse: float
) -> None:
    assert computed(pairs) == {"pearson": 0, "spearman": 0, "mse": mse}


def test_half_precision_is_left_before_anything_is_computed() -> None:
    metric = ScoreMetrics()
    guesses = torch.tensor([256.0, 300.0]).bfloat16()
    metric.update(guesses, torch.tensor([0.0, 1.0]).double())
    expected = (256.0**2 + (guesses[1].item() - 1.0) ** 2) / 2
    assert metric.compute()["mse"].item() == pytest.approx(expected)
