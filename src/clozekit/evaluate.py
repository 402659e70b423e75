"""`clozekit evaluate`: metrics and predictions of a model on labelled rows."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from torch import Tensor

from clozekit.config.evaluate import EvaluateConfig, check_out
from clozekit.config.registry import DATA, TASKS
from clozekit.config.stored import check_trust, construct, stored_arguments, stored_class
from clozekit.data.batch import Batch
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule, read_examples
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.errors import ConfigError
from clozekit.files import write_folder_atomically, write_json
from clozekit.inference.evaluation_figures import (
    confusion_counts,
    per_class,
    per_label,
    plot_classes,
    plot_confusion,
    plot_scores,
)
from clozekit.inference.load_predictor import make_predictor
from clozekit.inference.row_predictor import Prediction, RowPredictor, single_labels
from clozekit.interop.pretrained import Pretrained
from clozekit.runs.load_pretrained import load_pretrained
from clozekit.tasks.answering import AnsweringModule
from clozekit.tasks.classification import ClassificationModule
from clozekit.tasks.fine_tuning import FineTuningModule, computed_metrics
from clozekit.tasks.regression import RegressionModule


def evaluate(config: EvaluateConfig) -> dict[str, float]:
    """Writes metrics, predictions and plots to a folder, and prints the metrics.

    Returns:
        The metrics.

    Raises:
        UserError: The model or the rows cannot be used.
    """
    pretrained = load_pretrained(config.checkpoint, config.trusted_modules)
    if config.input is None:
        _check_trust_in_data(pretrained)
    predictor = make_predictor(
        pretrained,
        data_options=config.data_options,
        task_options=config.task_options,
        batch_size=config.batch_size,
        device=config.device,
    )
    if not isinstance(predictor, RowPredictor):
        raise ConfigError(
            f"{pretrained.path}: evaluate needs a fine-tuned model; the metrics of a pretraining "
            "run are in its results.json and metrics.csv"
        )
    source, name = _source(config, pretrained, predictor)
    out = config.out or _default_out(config, pretrained, name)
    check_out(out)
    metrics, predictions = _judge(predictor, source)
    with write_folder_atomically(out) as unfinished:
        values = _write(unfinished, predictor.module, source, metrics, predictions, name)
    _print(values, name, len(predictions), out)
    return values["metrics"]  # type: ignore[no-any-return]


def _source(
    config: EvaluateConfig, pretrained: Pretrained, predictor: RowPredictor
) -> tuple[LabelledSource, str]:
    """Returns the labelled rows and their name."""
    features = predictor.features
    if config.input is not None:
        examples, _ = read_examples(features, features.read_rows(config.input), check=True)
        return LabelledSource(features.encode(examples, is_labelled=True), False), config.input
    if pretrained.data is None:
        raise ConfigError("input is missing: set input=… to a file of labelled rows")
    datamodule = _datamodule(pretrained, config.data_options or {})
    split = config.split or ("test" if "test" in datamodule.sources else "validation")
    if split not in datamodule.sources:
        raise ConfigError(f"split={split}: the run only has {', '.join(datamodule.sources)}")
    source = datamodule.sources[split]
    assert isinstance(source, LabelledSource)
    return source, split


def _check_trust_in_data(pretrained: Pretrained) -> None:
    """Checks the task and the data together, so that one message names all modules to trust."""
    if pretrained.data is not None and pretrained.task is not None:
        targets = {
            "task": (pretrained.task["_target_"], TASKS),
            "data": (pretrained.data["_target_"], DATA),
        }
        check_trust(pretrained.path, targets, pretrained.trusted_modules)


def _datamodule(pretrained: Pretrained, options: Mapping[str, Any]) -> LabelledDataModule[Any]:
    """Makes the DataModule of the training run, of a class in the registry or a trusted module."""
    assert pretrained.data is not None
    source, trusted, target = (
        pretrained.path,
        pretrained.trusted_modules,
        pretrained.data["_target_"],
    )
    base: type[LabelledDataModule[Any]] = LabelledDataModule
    data_class = stored_class(source, "data", target, DATA, trusted, base)
    arguments = stored_arguments(source, "data", pretrained.data, DATA.get(target), trusted)
    tokenizer = {"tokenizer": pretrained.tokenizer}
    return construct(source, "data", data_class, arguments | dict(options) | tokenizer)


def _judge(
    predictor: RowPredictor, source: LabelledSource
) -> tuple[Mapping[str, Any], list[Prediction]]:
    """Predicts all rows once; returns the metrics and the predictions in the order of the rows."""
    metrics = predictor.module.metrics_of_a_split().to(predictor.module.device)

    def update(module: FineTuningModule[Any], batch: Batch) -> Tensor:
        return module.evaluate_batch(metrics, batch)

    predictions: list[Prediction] = [{}] * len(source.rows.examples)
    for place, prediction in predictor.predictions(source, update):
        predictions[place] = prediction
    return metrics, predictions  # type: ignore[return-value]


def _write(
    folder: Path,
    module: FineTuningModule[Any],
    source: LabelledSource,
    metrics: Any,
    predictions: list[Prediction],
    name: str,
) -> dict[str, Any]:
    examples = source.rows.examples
    values: dict[str, Any] = {
        "data": name,
        "num_examples": len(examples),
        "num_truncated": source.rows.num_truncated,
        "metrics": {key: float(value) for key, value in computed_metrics(metrics).items()},
    }
    golds = [module.gold(example) for example in examples]
    values |= _figures(module, metrics, golds, predictions, folder)
    with (folder / "predictions.jsonl").open("w", encoding="utf-8") as file:
        for example, gold, prediction in zip(examples, golds, predictions, strict=True):
            row = {"id": example.id, "gold": gold, **prediction}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    if isinstance(module, AnsweringModule):
        _write_squad(folder, examples, predictions)
    write_json(folder / "metrics.json", values)
    return values


def _figures(
    module: FineTuningModule[Any],
    metrics: Any,
    golds: list[Any],
    predictions: list[Prediction],
    folder: Path,
) -> dict[str, Any]:
    """Draws the plots of the task; returns precision and recall per class, if it has classes."""
    names = module.label_names
    if isinstance(module, RegressionModule):
        plot_scores(golds, [p["score"] for p in predictions], folder / "scores.png")
    if names is None:
        return {}
    if isinstance(module, ClassificationModule) and module.multi_label:
        classes = per_label(golds, [p["labels"] for p in predictions], names)
    else:
        counts = confusion_counts(*single_labels(golds, predictions), names)
        plot_confusion(counts, names, folder / "confusion_matrix.png")
        classes = per_class(counts, names)
    figures = {"per_class": classes}
    if "entities" in metrics:
        figures["per_entity_type"] = metrics["entities"].per_type()
    plot_classes(figures.get("per_entity_type", classes), folder / "precision_recall.png")
    return figures


def _write_squad(folder: Path, examples: Any, predictions: list[Prediction]) -> None:
    """Writes the prediction files that the official SQuAD scripts read."""
    by_id = {str(e.id): p for e, p in zip(examples, predictions, strict=True)}
    write_json(folder / "squad_predictions.json", {i: p["answer"] for i, p in by_id.items()})
    scores = {i: p["no_answer_score"] for i, p in by_id.items() if "no_answer_score" in p}
    if scores:
        write_json(folder / "squad_no_answer_scores.json", scores)


def _default_out(config: EvaluateConfig, pretrained: Pretrained, name: str) -> Path:
    if pretrained.task is None:
        raise ConfigError("out is missing: set out=… to the folder to write to")
    run = pretrained.path.resolve().parent.parent
    return run / f"evaluation-{Path(name).name if config.input else name}"


def _print(values: Mapping[str, Any], name: str, number: int, out: Path) -> None:
    table = Table(title=f"{name}: {number:,} rows", title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for metric, value in values["metrics"].items():
        table.add_row(metric, f"{value:.4f}")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(f"wrote metrics, predictions and plots to {out}", markup=False)
