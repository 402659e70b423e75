"""The metrics of classification that torchmetrics computes are scikit-learn's, and where not."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from torch import Tensor
from torchmetrics.classification import (
    BinaryF1Score,
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassMatthewsCorrCoef,
)

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
    ours = MulticlassMatthewsCorrCoef(num_classes)(guess, label).item()
    if num_classes == 2 and 1 in (len(set(guess.tolist())), len(set(label.tolist()))):
        # Undefined; scikit-learn gives 0, torchmetrics something else: see the next test.
        return
    assert ours == pytest.approx(matthews_corrcoef(label, guess), abs=1e-6)


def test_torchmetrics_gives_a_correlation_to_two_classes_that_have_none() -> None:
    """Of constant predictions or labels; what scikit-learn, and so GLUE, gives is 0."""
    label = torch.tensor([1] * 7 + [0] * 3)
    constant = torch.ones_like(label)
    metric = MulticlassMatthewsCorrCoef(2)
    assert matthews_corrcoef(label, constant) == 0
    assert metric(constant, label).item() == pytest.approx(4 / 210**0.5, rel=1e-3)
    assert matthews_corrcoef(constant, constant) == 0
    assert metric(constant, constant).item() == 1
    assert matthews_corrcoef(constant, 1 - constant) == 0
    assert metric(1 - constant, constant).item() == -1
