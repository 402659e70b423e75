"""Gold labels that a model does not have count as errors, and evaluation is without weights."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2, IOBES
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from torch.nn import functional as F  # noqa: N812

from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.stream import EvaluationStream
from clozekit.tasks.fine_tuning import computed_metrics
from tests.data.labelled.labelled_rows import drawn, make_features, whole_batch, words
from tests.tasks.modules import LABELS, TAGS, guessing, module_of

NEW = ["sky", "wood ", "[/x]"]


@torch.no_grad()
def evaluated(
    task: str, rows: list[dict[str, Any]], **changes: Any
) -> tuple[dict[str, float], list[dict[str, Any]], list[Any]]:
    """The metrics, predictions and gold labels of rows, with the labels of a module."""
    module = guessing(task, **changes)
    features = make_features(task)
    features.label_names = list(module.label_names)
    examples = [features.example(row, number, is_labelled=True) for number, row in enumerate(rows)]
    for example in examples:
        features.check_labels(example)
    module.unknown_labels = features.unknown_labels
    module.on_validation_epoch_start()
    source = LabelledSource(features.encode(examples, is_labelled=True), is_training=False)
    predictions, golds = [], []
    for index, loaded in enumerate(EvaluationStream(source, 7, 0, 1)):
        module.validation_step(loaded, index)
        predictions += module.decode(module(loaded.batch), loaded.batch)
        golds += [module.gold(example) for example in loaded.batch.examples]
    computed = computed_metrics(module.evaluation["validation"])
    return {name: value.item() for name, value in computed.items()}, predictions, golds


@pytest.mark.parametrize("number", [2, 3])
def test_classes_are_scored_as_by_scikit_learn(number: int) -> None:
    draw = random.Random(0)
    labels = [*LABELS[:number] * 3, *NEW]
    rows = [{"text": " ".join(words(draw, 9)), "label": draw.choice(labels)} for _ in range(60)]
    metrics, predictions, golds = evaluated("classification", rows, label_names=LABELS[:number])
    guesses = [prediction["label"] for prediction in predictions]
    assert set(NEW) < set(golds)
    assert metrics["accuracy"] == pytest.approx(accuracy_score(golds, guesses))
    assert metrics["f1_macro"] == pytest.approx(f1_score(golds, guesses, average="macro"))
    expected = matthews_corrcoef(golds, guesses)
    assert metrics["matthews_correlation"] == pytest.approx(expected, abs=1e-6)
    if number == 2:
        # A gold label of neither class is not of class 1.
        second = [[name == LABELS[1] for name in every] for every in (golds, guesses)]
        assert metrics["f1"] == pytest.approx(f1_score(*second))
    known = [
        -np.log(prediction["scores"][gold])
        for gold, prediction in zip(golds, predictions, strict=True)
        if gold in LABELS
    ]
    assert metrics["loss"] == pytest.approx(np.mean(known), rel=1e-4)


def test_several_labels_are_scored_as_by_scikit_learn() -> None:
    draw = random.Random(0)
    names = [*LABELS, *NEW[:2]]
    rows = [
        {"text": " ".join(words(draw, 9)), "label": [n for n in names if draw.random() < 0.3]}
        for _ in range(60)
    ]
    metrics, predictions, golds = evaluated("multi_label", rows)
    # Labels are stripped where a row has several.
    every = [*LABELS, "sky", "wood"]
    guesses, gold = (
        np.array([[name in labels for name in every] for labels in found])
        for found in ([p["labels"] for p in predictions], golds)
    )
    assert metrics["accuracy"] == pytest.approx((guesses == gold).all(axis=1).mean())
    for average in ("micro", "macro"):
        expected = f1_score(gold, guesses, average=average, zero_division=0)
        assert metrics[f"f1_{average}"] == pytest.approx(expected)


def test_training_rows_are_as_before_where_other_rows_have_more_labels() -> None:
    """The marks of a row are of all labels of the data, also of those that training lacks."""
    module = module_of("multi_label", class_weights={"sea": 2.0}, label_smoothing=0.2)
    features = make_features("multi_label")
    features.label_names = list(module.label_names)
    row = {"text": "the old horse", "label": LABELS[:2]}
    examples = [features.example(row, 0, is_labelled=True)]
    logits = torch.randn(1, len(LABELS))
    before = whole_batch(features.encode(examples, is_labelled=True))
    features.check_labels(features.example({**row, "label": ["new"]}, 1, is_labelled=True))
    after = whole_batch(features.encode(examples, is_labelled=True))
    assert after.labels.shape[1] == before.labels.shape[1] + 1
    assert torch.equal(module.loss_sum(logits, after), module.loss_sum(logits, before))
    assert module.step_sums(logits, after) == module.step_sums(logits, before)


@pytest.mark.parametrize(
    ("names", "scheme"),
    [(TAGS, IOB2), (["O", *(f"{p}-{t}" for t in ("ANIMAL", "PLACE") for p in "BIES")], IOBES)],
)
def test_tags_are_scored_as_by_seqeval(names: list[str], scheme: type) -> None:
    draw = random.Random(0)
    rows = []
    for _ in range(40):
        sentence = words(draw, 20)
        tags = draw.choices([*names, "B-NEW", "I-NEW"], k=len(sentence))
        rows.append({"tokens": sentence, "tags": tags})
    metrics, predictions, golds = evaluated("tagging", rows, label_names=names)
    guesses = [prediction["tags"] for prediction in predictions]
    pairs = [pair for both in zip(guesses, golds, strict=True) for pair in zip(*both, strict=True)]
    assert metrics["accuracy"] == pytest.approx(np.mean([a == b for a, b in pairs]))
    report = classification_report(
        golds, guesses, mode="strict", scheme=scheme, output_dict=True, zero_division=0
    )
    assert scheme is IOBES or report["NEW"]["support"] > 0
    assert metrics["f1"] == pytest.approx(report["micro avg"]["f1-score"])
    assert metrics["precision"] == pytest.approx(report["micro avg"]["precision"])
    assert metrics["recall"] == pytest.approx(report["micro avg"]["recall"])
    assert sum(len(prediction["entities"]) for prediction in predictions) > 0


def test_predictions_have_the_entities_of_their_tags() -> None:
    module = module_of("tagging")
    features = make_features("tagging")
    sentence = ["the", "old", "cow", "feeds", "horse"]
    example = features.example({"tokens": sentence}, 0, is_labelled=False)
    batch = whole_batch(features.encode([example], is_labelled=False))
    tags = ["B-ANIMAL", "I-ANIMAL", "O", "I-PLACE", "B-PLACE"]
    logits = F.one_hot(torch.tensor([TAGS.index(tag) for tag in tags]), len(TAGS)).float()
    (prediction,) = module.decode(logits, batch)
    assert prediction["tags"] == tags
    # The I that continues nothing is no entity, as in the metrics.
    assert prediction["entities"] == [
        {"type": "ANIMAL", "text": "the old", "start": 0, "end": 2},
        {"type": "PLACE", "text": "horse", "start": 4, "end": 5},
    ]
    plain = module_of("tagging", label_names=["NOUN", "VERB"])
    (prediction,) = plain.decode(torch.zeros(5, 2), batch)
    assert "entities" not in prediction


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        ("classification", {"class_weights": {"sea": 9.0}, "label_smoothing": 0.5}),
        ("multi_label", {"class_weights": {"sea": 9.0}, "label_smoothing": 0.5}),
        ("tagging", {"label_smoothing": 0.5}),
    ],
)
def test_the_loss_of_validation_has_no_weights_and_no_smoothing(
    task: str, changes: dict[str, Any]
) -> None:
    batch = whole_batch(drawn(task, 20))
    losses = []
    for more in ({}, changes):
        module = guessing(task, **more)
        metrics = module.metrics_of_a_split()
        with torch.no_grad():
            logits = module.evaluate_batch(metrics, batch)
        losses.append(metrics["loss"].compute().item())
        plain = module.loss_sum(logits, batch) / module.num_targets(batch)
        assert (plain.item() == pytest.approx(losses[-1])) == (not more)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_a_models_labels_have_the_ids_of_the_model() -> None:
    features = make_features("classification")
    features.label_names = ["town", "farm", "sea"]
    rows = [{"text": "a", "label": label} for label in ("farm", "sky", "sea", "town", "sky")]
    examples = [features.example(row, number, is_labelled=True) for number, row in enumerate(rows)]
    for example in examples:
        assert example is not None
        features.check_labels(example)
    assert features.unknown_labels == ["sky"]
    assert features.encode(examples, is_labelled=True).labels.tolist() == [1, 3, 2, 0, 3]  # type: ignore[attr-defined]
    assert features.count_unknown("rows", examples) == {"sky": 2}  # type: ignore[arg-type]
