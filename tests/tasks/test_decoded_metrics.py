"""The metrics of every fine-tuning task are those of what it decodes."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2
from sklearn.metrics import f1_score, matthews_corrcoef
from torch.nn import functional as F  # noqa: N812

from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.stream import EvaluationStream
from clozekit.metrics.squad_metric import exact_match, f1
from clozekit.tasks.fine_tuning import computed_metrics
from tests.data.labelled.labelled_rows import drawn, encoded, make_features, whole_batch, words
from tests.tasks.modules import LABELS, MODULES, TAGS, Module, guessing, module_of, tasks


@torch.no_grad()
def evaluated(
    module: Module, rows: Any, batch_size: int = 7
) -> tuple[dict[str, float], list[dict[str, Any]], list[Any]]:
    """The metrics over rows, and what is decoded of each with its example."""
    module.on_validation_epoch_start()
    predictions, examples = [], []
    source = LabelledSource(rows, is_training=False)
    for index, loaded in enumerate(EvaluationStream(source, batch_size, 0, 1)):
        batch = loaded.batch
        module.validation_step(loaded, index)
        predictions += module.decode(module(batch), batch)
        examples += batch.examples
    computed = computed_metrics(module.evaluation["validation"])  # type: ignore[arg-type]
    assert len(predictions) == len(rows.examples)
    return {name: value.item() for name, value in computed.items()}, predictions, examples


# That of an embedding is among all texts of the split, each once.
@pytest.mark.parametrize("task", sorted(MODULES.keys() - {"embedding"}))
@torch.no_grad()
def test_the_loss_of_validation_is_the_mean_over_all_targets(task: str) -> None:
    rows, module = drawn(task, 40), guessing(task)
    batch = whole_batch(rows)
    expected = module.loss_sum(module(batch), batch) / module.num_targets(batch)
    metrics, _, _ = evaluated(module, rows)
    assert metrics["loss"] == pytest.approx(expected.item(), rel=1e-5)


@tasks
@torch.no_grad()
def test_what_is_decoded_does_not_depend_on_the_batch(task: str) -> None:
    rows, module = drawn(task, 15), guessing(task)
    every = [evaluated(module, rows, batch_size)[1:] for batch_size in (1, 100)]
    of_one, of_all = (
        {example.id: prediction for prediction, example in zip(*both, strict=True)}
        for both in every
    )
    assert of_one.keys() == of_all.keys()
    for key, prediction in of_one.items():
        assert rounded(prediction) == rounded(of_all[key])


def rounded(value: Any) -> Any:
    """A prediction that can be compared: sums in another order differ a little."""
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-3, abs=1e-4)
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("number", [2, 3])
def test_metrics_of_classes_are_those_of_what_is_decoded(number: int) -> None:
    draw = random.Random(0)
    texts = [" ".join(words(draw, 9)) for _ in range(40)]
    rows = [{"text": text, "label": draw.choice(LABELS[:number])} for text in texts]
    module = guessing("classification", label_names=LABELS[:number])
    features = make_features("classification")
    metrics, predictions, examples = evaluated(module, encoded(features, rows))
    guesses = [prediction["label"] for prediction in predictions]
    golds = [module.gold(example) for example in examples]
    assert len(set(guesses)) > 1
    for prediction in predictions:
        scores = prediction["scores"]
        assert list(scores) == LABELS[:number] and sum(scores.values()) == pytest.approx(1)
        assert prediction["label"] == max(scores, key=scores.__getitem__)
    assert metrics["accuracy"] == pytest.approx(np.mean(np.array(guesses) == np.array(golds)))
    assert metrics["f1_macro"] == pytest.approx(f1_score(golds, guesses, average="macro"))
    assert metrics["matthews_correlation"] == pytest.approx(
        matthews_corrcoef(golds, guesses), abs=1e-6
    )
    assert ("f1" in metrics) == (number == 2)
    if number == 2:
        assert metrics["f1"] == pytest.approx(f1_score(golds, guesses, pos_label="sea"))


def test_metrics_of_several_labels_are_those_of_what_is_decoded() -> None:
    module = guessing("multi_label")
    metrics, predictions, examples = evaluated(module, drawn("multi_label", 40))
    guesses, golds = (
        np.array([[name in labels for name in LABELS] for labels in every])
        for every in ([p["labels"] for p in predictions], [module.gold(e) for e in examples])
    )
    assert 0 < guesses.mean() < 1
    for prediction in predictions:
        chosen = [name for name, score in prediction["scores"].items() if score > 0.5]
        assert prediction["labels"] == chosen
    assert metrics["accuracy"] == pytest.approx((guesses == golds).all(axis=1).mean())
    for average in ("micro", "macro"):
        expected = f1_score(golds, guesses, average=average)
        assert metrics[f"f1_{average}"] == pytest.approx(expected)


def test_metrics_of_scores_are_those_of_what_is_decoded() -> None:
    module = guessing("regression")
    metrics, predictions, examples = evaluated(module, drawn("regression", 40))
    guesses = [prediction["score"] for prediction in predictions]
    golds = [module.gold(example) for example in examples]
    assert metrics["pearson"] == pytest.approx(stats.pearsonr(guesses, golds)[0], abs=1e-5)
    assert metrics["spearman"] == pytest.approx(stats.spearmanr(guesses, golds)[0], abs=1e-5)
    assert metrics["mse"] == pytest.approx(np.square(np.subtract(guesses, golds)).mean(), rel=1e-5)


def test_metrics_of_tags_are_those_of_what_is_decoded() -> None:
    rows = drawn("tagging", 40)
    module = guessing("tagging")
    metrics, predictions, examples = evaluated(module, rows)
    guesses = [prediction["tags"] for prediction in predictions]
    golds = [module.gold(example) for example in examples]
    for prediction, example in zip(predictions, examples, strict=True):
        assert prediction["words"] == list(example.words)
        assert len(prediction["tags"]) == len(prediction["scores"]) == len(example.words)
    pairs = [pair for tags in zip(guesses, golds, strict=True) for pair in zip(*tags, strict=True)]
    assert metrics["accuracy"] == pytest.approx(np.mean([a == b for a, b in pairs]))
    report = classification_report(golds, guesses, mode="strict", scheme=IOB2, output_dict=True)
    expected = report["micro avg"]
    assert expected["f1-score"] > 0
    assert metrics["f1"] == pytest.approx(expected["f1-score"])
    assert metrics["precision"] == pytest.approx(expected["precision"])
    assert metrics["recall"] == pytest.approx(expected["recall"])


def test_words_without_a_tag_count_for_nothing() -> None:
    words = ["the", "old", "cow", "feeds", "the", "horse"]
    tags = ["B-ANIMAL", None, "O", "I-ANIMAL", "B-PLACE", None]
    batch = whole_batch(encoded(make_features("tagging"), [{"tokens": words, "tags": tags}]))
    module = module_of("tagging")
    metrics = module.metrics_of_a_split()
    # Every word is guessed to be an animal of its own.
    logits = F.one_hot(torch.full((6,), TAGS.index("B-ANIMAL")), len(TAGS)).float()
    module.update_metrics(metrics, logits, batch)
    metrics["loss"].update(torch.tensor(0.0), 1)
    computed = {name: value.item() for name, value in computed_metrics(metrics).items()}
    assert computed["accuracy"] == pytest.approx(1 / 4)
    assert computed["precision"] == pytest.approx(1 / 4)
    assert computed["recall"] == pytest.approx(1 / 2)
    assert module.num_targets(batch) == 4


def test_tags_of_no_scheme_have_no_entities() -> None:
    module = module_of("tagging", label_names=["NOUN", "VERB"])
    assert module.monitor == "validation/accuracy"
    assert module.new_metrics().keys() == {"accuracy"}
    assert module_of("tagging").monitor == "validation/f1"


@pytest.mark.parametrize("task", ["question_answering", "question_answering_bio"])
@pytest.mark.parametrize("has_unanswerable", [True, False])
def test_metrics_of_answers_are_those_of_what_is_decoded(task: str, has_unanswerable: bool) -> None:
    rows = drawn(task, 60)
    module = guessing(task, has_unanswerable=has_unanswerable)
    if has_unanswerable:
        # So that some questions are answered and some are not.
        _, predictions, _ = evaluated(module, rows)
        module.no_answer_threshold = float(np.median([p["no_answer_score"] for p in predictions]))
    metrics, predictions, examples = evaluated(module, rows)
    answers = [prediction["answer"] for prediction in predictions]
    golds = [module.gold(example) for example in examples]
    assert any(not gold for gold in golds) and any(golds)
    assert ("" in answers) == has_unanswerable and any(answers)
    for name, score in {"exact_match": exact_match, "f1": f1}.items():
        # An empty answer is right only where there is no gold, not even an article alone.
        values = [
            100 * score(a, g) if a or not g else 0.0 for a, g in zip(answers, golds, strict=True)
        ]
        assert metrics[name] == pytest.approx(np.mean(values))
        has_answer = [bool(gold) for gold in golds]
        answered = [v for v, has in zip(values, has_answer, strict=True) if has]
        assert metrics[f"has_answer_{name}"] == pytest.approx(np.mean(answered))
    assert metrics["f1"] > 0


def test_metrics_of_choices_are_those_of_what_is_decoded() -> None:
    module = guessing("multiple_choice")
    metrics, predictions, examples = evaluated(module, drawn("multiple_choice", 40))
    guesses = [prediction["label"] for prediction in predictions]
    golds = [module.gold(example) for example in examples]
    assert set(guesses) == {0, 1, 2}
    for prediction in predictions:
        assert prediction["label"] == int(np.argmax(prediction["scores"]))
        assert sum(prediction["scores"]) == pytest.approx(1)
    assert metrics["accuracy"] == pytest.approx(np.mean(np.equal(guesses, golds)))
