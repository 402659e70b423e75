"""The metrics of classification are scikit-learn's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from torch import Tensor
from torchmetrics.classification import BinaryF1Score, MulticlassAccuracy, MulticlassF1Score

from clozekit.metrics.correlation import MatthewsCorrelation

NUM_CLASSES = 4

pytestmark = pytest.mark.filterwarnings("ignore:A single label was found")


def pairs_of(num_classes: int) -> st.SearchStrategy[tuple[Tensor, Tensor]]:
    """Predictions and gold labels, each from some of the classes, so that classes are missing."""
    some = st.sets(st.integers(0, num_classes - 1), min_size=1).map(sorted)
    return st.tuples(some, some, st.integers(1, 20)).flatmap(
        lambda drawn: st.tuples(
            *(
                st.lists(st.sampled_from(classes), min_size=drawn[2], max_size=drawn[2]).map(
                    torch.tensor
                )
                for classes in drawn[:2]
            )
        )
    )


@settings(max_examples=60, deadline=None)
@given(pairs_of(NUM_CLASSES))
def test_accuracy(pair: tuple[Tensor, Tensor]) -> None:
    guess, label = pair
    ours = MulticlassAccuracy(NUM_CLASSES, average="micro")(guess, label)
    assert ours.item() == pytest.approx(accuracy_score(label, guess))


@settings(max_examples=60, deadline=None)
@given(pairs_of(NUM_CLASSES))
def test_macro_f1_is_the_mean_over_classes_that_occur(pair: tuple[Tensor, Tensor]) -> None:
    guess, label = pair
    ours = MulticlassF1Score(NUM_CLASSES, average="macro")(guess, label)
    # Without `labels`, scikit-learn takes those in the gold labels or the predictions.
    occurring = f1_score(label, guess, average="macro", zero_division=0)
    assert ours.item() == pytest.approx(occurring)
    # With all labels, a class that is in neither counts as 0.
    classes = list(range(NUM_CLASSES))
    of_all = f1_score(label, guess, average="macro", labels=classes, zero_division=0)
    number = len(set(guess.tolist()) | set(label.tolist()))
    assert ours.item() * number / NUM_CLASSES == pytest.approx(of_all)


@settings(max_examples=60, deadline=None)
@given(pairs_of(2))
def test_binary_f1_is_that_of_label_1(pair: tuple[Tensor, Tensor]) -> None:
    guess, label = pair
    ours = BinaryF1Score()(guess, label)
    assert ours.item() == pytest.approx(f1_score(label, guess, pos_label=1, zero_division=0))


@pytest.mark.parametrize("num_classes", [2, 3, NUM_CLASSES])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_matthews_correlation(num_classes: int, data: st.DataObject) -> None:
    guess, label = data.draw(pairs_of(num_classes))
    ours = MatthewsCorrelation(num_classes)(guess, label).item()
    assert ours == pytest.approx(matthews_corrcoef(label, guess), abs=1e-6)


def test_matthews_correlation_of_what_does_not_vary_is_0() -> None:
    """As in scikit-learn, and so in GLUE; torchmetrics' own gives 1, -1 or a little something."""
    label = torch.tensor([1] * 7 + [0] * 3)
    constant = torch.ones_like(label)
    pairs = [(constant, label), (label, constant), (constant, constant), (1 - constant, constant)]
    for guess, gold in pairs:
        assert MatthewsCorrelation(2)(guess, gold).item() == 0 == matthews_corrcoef(gold, guess)


def test_matthews_correlation_is_exact_for_many_rows_over_several_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(3, (200_000,), generator=generator)
    noise = torch.randint(3, (200_000,), generator=generator)
    guess = torch.where(torch.rand(200_000, generator=generator) < 0.001, label, noise)
    metric = MatthewsCorrelation(3)
    for batch in zip(guess.split(70_000), label.split(70_000), strict=True):
        metric.update(*batch)
    assert metric.compute().item() == pytest.approx(matthews_corrcoef(label, guess), rel=1e-5)
