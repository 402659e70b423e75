"""Logs predictions of a fine-tuned model to Weights & Biases."""

import json
from typing import Any

from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.inference.row_predictor import Prediction, RowPredictor, single_labels
from clozekit.tasks.classification import ClassificationModule
from clozekit.tasks.fine_tuning import FineTuningModule

MOST_ROWS = 1000
"""Maximum number of rows that are predicted: the first of the split, whose order is arbitrary."""

MOST_ROWS_IN_TABLE = 200
MOST_CHARACTERS = 1000


def log_predictions(
    run: Any, module: FineTuningModule[Any], datamodule: LabelledDataModule[Any]
) -> None:
    """Logs a table of predictions, and the confusion matrix of a single-label task.

    Args:
        run: The W&B run.
        module: The trained module.
        datamodule: Its data; rows come from the test split, or the validation split without one.
    """
    import wandb

    split = "test" if "test" in datamodule.sources else "validation"
    source = datamodule.sources[split]
    assert isinstance(source, LabelledSource)
    features = datamodule.features
    examples = source.rows.examples[:MOST_ROWS]
    rows = LabelledSource(features.encode(examples, is_labelled=True), is_training=False)
    predictor = RowPredictor(module.eval(), features)
    predictions: list[Prediction] = [{}] * len(examples)
    for place, prediction in predictor.predictions(rows):
        predictions[place] = prediction
    golds = [module.gold(example) for example in examples]

    table = [
        {"id": example.id, **example.inputs(), "gold": gold, **prediction}
        for example, gold, prediction in zip(examples, golds, predictions, strict=True)
    ][:MOST_ROWS_IN_TABLE]
    columns: list[str | int] = list(dict.fromkeys(name for row in table for name in row))
    cells = [[_cell(row.get(str(name))) for name in columns] for row in table]
    logged: dict[str, Any] = {f"{split}/predictions": wandb.Table(columns=columns, data=cells)}
    names = module.label_names
    is_multi_label = isinstance(module, ClassificationModule) and module.multi_label
    if names is not None and not is_multi_label:
        names = [*names, *module.unknown_labels]
        ids = {name: index for index, name in enumerate(names)}
        gold, predicted = single_labels(golds, predictions)
        logged[f"{split}/confusion_matrix"] = wandb.plot.confusion_matrix(
            y_true=[ids[name] for name in gold],
            preds=[ids[name] for name in predicted],
            class_names=names,
            title=f"Confusion matrix of {len(examples):,} rows ({split})",
        )
    run.log(logged)


def _cell(value: Any) -> str:
    """Returns a value as text, because a column of a table has one type."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "…"
