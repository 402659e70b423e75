"""Every fine-tuning task: trained, killed, resumed, evaluated, predicted and exported."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.programs.forked import results_of
from tests.programs.task_files import FILES

ARCHITECTURES = {
    "classification": "BertForSequenceClassification",
    "several_labels": "BertForSequenceClassification",
    "regression": "BertForSequenceClassification",
    "tagging": "BertForTokenClassification",
    "question_answering": "BertForQuestionAnswering",
    "question_answering_bio": "BertModel",
    "multiple_choice": "BertForMultipleChoice",
    "embedding": "BertModel",
}
METRICS = {
    "classification": {"accuracy", "f1_macro", "matthews_correlation"},
    "several_labels": {"accuracy", "f1_micro", "f1_macro"},
    "regression": {"pearson", "spearman", "mse"},
    "tagging": {"accuracy", "f1", "precision", "recall"},
    "question_answering": {"exact_match", "f1", "no_answer_accuracy", "best_f1"},
    "question_answering_bio": {"exact_match", "f1", "no_answer_accuracy", "best_f1"},
    "multiple_choice": {"accuracy"},
    "embedding": {"loss", "recall@1", "recall@5", "recall@10"},
}
PICTURES = {
    "classification": {"confusion_matrix.png", "precision_recall.png"},
    "several_labels": {"precision_recall.png"},
    "regression": {"scores.png"},
    "tagging": {"confusion_matrix.png", "precision_recall.png"},
    "question_answering": {"squad_predictions.json", "squad_no_answer_scores.json"},
    "question_answering_bio": {"squad_predictions.json", "squad_no_answer_scores.json"},
    "multiple_choice": set(),
    "embedding": set(),
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tasks")


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, Any]:
    return results_of("tests.programs.task_runs", folder)


@pytest.mark.parametrize("task", FILES)
def test_a_killed_run_that_is_resumed_equals_a_whole_one(
    task: str, results: dict[str, Any]
) -> None:
    result = results[task]
    assert (result["whole"], result["killed"], result["resumed"]) == (0, -9, 0), result["log"]
    assert result["differences"] == []


@pytest.mark.parametrize("task", FILES)
def test_two_processes_judge_as_one_does(task: str, results: dict[str, Any], folder: Path) -> None:
    assert results[task]["on processes"] == [0, 0], results[task]["log"]
    one, two = (
        json.loads((folder / task / f"on-{ranks}" / "results.json").read_text()) for ranks in (1, 2)
    )
    assert one == pytest.approx(two, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("task", FILES)
def test_an_evaluation_gives_the_metrics_of_training_on_the_same_rows(
    task: str, results: dict[str, Any], folder: Path
) -> None:
    assert (results[task]["evaluated"], results[task]["split"]) == (0, 0), results[task]["log"]
    trained = json.loads((folder / task / "runs" / "killed" / "results.json").read_text())
    at_end = {
        name.removeprefix("validation/"): value
        for name, value in trained.items()
        if name.startswith("validation/")
    }
    assert METRICS[task] < at_end.keys()
    of_run = folder / task / "runs" / "killed" / "evaluation-validation"
    for evaluation in (folder / task / "eval", of_run):
        metrics = json.loads((evaluation / "metrics.json").read_text())["metrics"]
        # Rounding depends on the rows of a batch, and a correlation of near-equal values shows it.
        assert metrics == pytest.approx(at_end, rel=1e-5, abs=1e-5)
    files = {path.name for path in of_run.iterdir()}
    assert files == {"metrics.json", "predictions.jsonl", *PICTURES[task]}


@pytest.mark.parametrize("task", sorted(FILES.keys() - {"embedding"}))
def test_predictions_on_the_same_rows_are_the_evaluations(
    task: str, results: dict[str, Any], folder: Path
) -> None:
    assert results[task]["predicted"] == 0, results[task]["log"]
    evaluated, predicted = (
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in (
            folder / task / "eval" / "predictions.jsonl",
            folder / task / "predictions.jsonl",
        )
    )
    assert len(predicted) == len(evaluated) == 15
    for ours, theirs in zip(predicted, evaluated, strict=True):
        del theirs["gold"]
        assert_alike(ours, theirs)


def assert_alike(ours: Any, theirs: Any) -> None:
    """Numbers differ by what other rows were in the batch; nothing else does."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key in theirs:
            assert_alike(ours[key], theirs[key])
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for our, their in zip(ours, theirs, strict=True):
            assert_alike(our, their)
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    else:
        assert ours == theirs


@pytest.mark.parametrize("task", FILES)
def test_an_export_loads_in_transformers_without_a_warning(
    task: str, results: dict[str, Any], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert results[task]["exported"] == 0, results[task]["log"]
    exported = folder / task / "exported"
    config = json.loads((exported / "config.json").read_text())
    assert config["architectures"] == [ARCHITECTURES[task]]
    model_class = getattr(transformers, ARCHITECTURES[task])
    options = {"add_pooling_layer": False} if ARCHITECTURES[task] == "BertModel" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, loading = model_class.from_pretrained(exported, output_loading_info=True, **options)
    assert not any(loading[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ids = torch.tensor([[2, 5, 6, 3]])
    ids = ids[None] if task == "multiple_choice" else ids
    assert all(torch.isfinite(tensor).all() for tensor in model(ids).to_tuple())
    if task == "question_answering_bio":
        assert "no class of transformers has this head" in results[task]["log"]
