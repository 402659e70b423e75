"""Retrieval is that of ranking all texts by hand, each once.

`test_squad_metric.py` runs the metric on several processes.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from clozekit.metrics import retrieval
from clozekit.metrics.retrieval import OF_PAIRS, EmbeddingMetrics
from tests.metrics.processes import PAIRS, embeddings, vector_of

TEMPERATURE = 0.1

# Few texts, so that many occur several times, some as anchor and positive.
pairs_of_texts = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=12)


def computed(metric: EmbeddingMetrics) -> dict[str, float]:
    return {name: value.item() for name, value in metric.compute().items()}


def of_texts(pairs: list[tuple[int, int]], size: int) -> EmbeddingMetrics:
    metric = EmbeddingMetrics(3, TEMPERATURE)
    for begin in range(0, len(pairs), size):
        ids = torch.tensor(pairs[begin : begin + size])
        vectors = torch.stack(
            [torch.stack([vector_of(str(i)) for i in row]) for row in ids.tolist()]
        )
        none = torch.zeros(len(ids))
        metric.update(vectors, ids + 1, none, none.bool(), ~none.bool())
    return metric


def by_hand(pairs: list[tuple[int, int]]) -> dict[str, float]:
    texts = {positive for _, positive in pairs}
    losses, ranks = [], []
    for anchor, positive in pairs:
        others = texts - {anchor, positive}
        own = float(vector_of(str(anchor)) @ vector_of(str(positive)))
        rest = [float(vector_of(str(anchor)) @ vector_of(str(other))) for other in others]
        ranks.append(1 + sum(similarity >= own for similarity in rest))
        total = sum(math.exp(value / TEMPERATURE) for value in (own, *rest))
        losses.append(math.log(total) - own / TEMPERATURE)
    number = len(pairs)
    recall = {f"recall@{k}": sum(rank <= k for rank in ranks) / number for k in (1, 5, 10)}
    mrr = sum(1 / rank for rank in ranks) / number
    return {"loss": sum(losses) / number, **recall, "mrr": mrr}


@settings(max_examples=100, deadline=None)
@given(pairs_of_texts, st.integers(1, 12))
def test_retrieval_is_the_ranking_by_hand(pairs: list[tuple[int, int]], size: int) -> None:
    assert computed(of_texts(pairs, size)) == pytest.approx(by_hand(pairs), rel=1e-4, abs=1e-5)


def test_retrieval_of_many_anchors_is_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [(i % 8, (3 * i) % 8) for i in range(11)]
    expected = computed(of_texts(pairs, 11))
    monkeypatch.setattr(retrieval, "ANCHORS_AT_ONCE", 4)
    assert computed(of_texts(pairs, 11)) == pytest.approx(expected, rel=1e-6)


def test_equal_vectors_find_nothing() -> None:
    metric = EmbeddingMetrics(2, TEMPERATURE)
    ids = torch.arange(1, 41).view(20, 2)
    none = torch.zeros(20)
    vectors = torch.tensor([1.0, 0.0]).expand(20, 2, 2)
    metric.update(vectors, ids, none, none.bool(), ~none.bool())
    found = computed(metric)
    assert (found["recall@1"], found["recall@10"], found["mrr"]) == (0, 0, pytest.approx(1 / 20))


def test_hard_negatives_are_candidates() -> None:
    def of(negative: Tensor) -> dict[str, float]:
        metric = EmbeddingMetrics(2, TEMPERATURE)
        anchor, positive = torch.tensor([1.0, 0.0]), torch.tensor([0.8, 0.6])
        row, no = torch.stack([anchor, positive, negative])[None], torch.tensor([False])
        metric.update(row, torch.tensor([[1, 2, 3]]), torch.zeros(1), no, ~no)
        return computed(metric)

    assert of(torch.tensor([0.0, 1.0]))["recall@1"] == 1
    near = of(torch.tensor([1.0, 0.0]))
    assert (near["recall@1"], near["recall@5"], near["mrr"]) == (0, 1, 0.5)
    assert near["loss"] == pytest.approx(math.log(1 + math.exp(2)), rel=1e-5)


def test_scored_pairs_are_for_the_correlation_only() -> None:
    scored = [pair for pair in PAIRS if pair[2] is not None]
    found = computed(embeddings(PAIRS))
    similarities = [float(-vector_of(a) @ vector_of(b)) for a, b, _ in scored]
    golds = [score for *_, score in scored]
    assert found.pop("spearman") == pytest.approx(stats.spearmanr(similarities, golds)[0], abs=1e-5)
    assert found.keys() == set(OF_PAIRS)
    assert found == pytest.approx(computed(embeddings([p for p in PAIRS if p[2] is None])))


@pytest.mark.parametrize(
    "pairs", [[("1", "2", 0.5)], [("1", "2", 0.5), ("3", "4", 0.5)]], ids=["one", "equal scores"]
)
def test_a_correlation_that_is_undefined_is_0(pairs: list[tuple[str, str, float | None]]) -> None:
    assert computed(embeddings(pairs))["spearman"] == 0


def test_a_split_without_pairs_still_has_the_metrics_that_were_told() -> None:
    assert computed(EmbeddingMetrics(3, TEMPERATURE)) == dict.fromkeys(OF_PAIRS, 0)
