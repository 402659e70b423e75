"""The files of an evaluation: results first, then page and pictures, which can end no command."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from clozekit.files import as_json, write_folder_atomically, write_json, write_text
from clozekit.inference.evaluation_figures import (
    Confusion,
    confusion_counts,
    per_class,
    per_label,
    plot_classes,
    plot_confusion,
    plot_scores,
)
from clozekit.inference.evaluation_page import PAGE, evaluation_page
from clozekit.inference.row_predictor import Prediction, single_labels
from clozekit.output.figures import drawn
from clozekit.tasks.answering import AnsweringModule
from clozekit.tasks.classification import ClassificationModule
from clozekit.tasks.fine_tuning import FineTuningModule, computed_metrics
from clozekit.tasks.regression import RegressionModule

Pictures = dict[str, Any]
"""For each picture's file name, the function that draws it to a path."""


def write_evaluation(
    folder: Path,
    module: FineTuningModule[Any],
    examples: Sequence[Any],
    metrics: Any,
    predictions: list[Prediction],
    facts: Mapping[str, Any],
    with_page: bool = False,
) -> dict[str, float]:
    """Writes metrics and predictions to a new folder, then the pictures.

    Args:
        folder: The folder, which is created.
        module: The evaluated module.
        examples: The rows.
        metrics: The metrics of all rows.
        predictions: The prediction for each row.
        facts: What else `metrics.json` has, such as the name of the data.
        with_page: Whether to write a page, too.

    Returns:
        The metrics.
    """
    values = {key: float(value) for key, value in computed_metrics(metrics).items()}
    golds = [module.gold(example) for example in examples]
    scores, pictures, confusion = _scores_and_pictures(module, metrics, golds, predictions)
    with write_folder_atomically(folder) as unfinished:
        write_json(unfinished / "metrics.json", {**facts, "metrics": values, **scores})
        with (unfinished / "predictions.jsonl").open("w", encoding="utf-8") as file:
            for example, gold, prediction in zip(examples, golds, predictions, strict=True):
                row = {"id": example.id, "gold": gold, **prediction}
                file.write(as_json(row) + "\n")
        if isinstance(module, AnsweringModule):
            _write_squad(unfinished, examples, predictions)
    if with_page:

        def write_page(path: Path) -> None:
            page = evaluation_page(
                module, examples, golds, predictions, values, facts, scores, confusion
            )
            write_text(path, page)

        pictures[PAGE] = write_page
    for name, draw in pictures.items():
        drawn(folder / name, draw)
    return values


def _scores_and_pictures(
    module: FineTuningModule[Any], metrics: Any, golds: list[Any], predictions: list[Prediction]
) -> tuple[dict[str, Any], Pictures, Confusion | None]:
    """Returns the scores and the confusion of classes, if the task has any, and what to draw."""
    if isinstance(module, RegressionModule):
        scores = [prediction["score"] for prediction in predictions]
        return {}, {"scores.png": partial(plot_scores, golds, scores)}, None
    if module.label_names is None:
        return {}, {}, None
    confusion: Confusion | None = None
    pictures: Pictures = {}
    if isinstance(module, ClassificationModule) and module.multi_label:
        names = _with_unknown(module, (label for labels in golds for label in labels))
        classes = per_label(golds, [p["labels"] for p in predictions], names)
    else:
        gold, predicted = single_labels(golds, predictions)
        names = _with_unknown(module, gold)
        counts = confusion_counts(gold, predicted, names)
        confusion = names, counts
        pictures["confusion_matrix.png"] = partial(plot_confusion, counts, names)
        classes = per_class(counts, names)
    figures = {"per_class": classes}
    if "entities" in metrics:
        figures["per_entity_type"] = metrics["entities"].per_type()
    shown = figures.get("per_entity_type", classes)
    pictures["precision_recall.png"] = partial(plot_classes, shown)
    return figures, pictures, confusion


def _with_unknown(module: FineTuningModule[Any], golds: Any) -> list[str]:
    """Returns the model's labels and the gold labels of the rows that it does not have."""
    assert module.label_names is not None
    found = set(golds)
    return [*module.label_names, *(name for name in module.unknown_labels if name in found)]


def _write_squad(folder: Path, examples: Sequence[Any], predictions: list[Prediction]) -> None:
    """Writes the prediction files that the official SQuAD scripts read."""
    by_id = {str(e.id): p for e, p in zip(examples, predictions, strict=True)}
    write_json(folder / "squad_predictions.json", {i: p["answer"] for i, p in by_id.items()})
    scores = {i: p["no_answer_score"] for i, p in by_id.items() if "no_answer_score" in p}
    if scores:
        write_json(folder / "squad_no_answer_scores.json", scores)
