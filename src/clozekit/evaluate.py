"""`clozekit evaluate`: metrics and predictions of a model on labelled rows, or on a corpus."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table
from torch import Tensor, nn

from clozekit.config.evaluate import EvaluateConfig
from clozekit.config.paths import check_out
from clozekit.config.registry import DATA, TASKS
from clozekit.config.stored.classes import check_trust, construct, stored_arguments, stored_class
from clozekit.data.batch import Batch
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule, describe_unknown
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.labelled.row_store import RowStore
from clozekit.errors import ConfigError, DataError
from clozekit.files import write_folder_atomically, write_json
from clozekit.inference.corpus_evaluation import (
    corpus_of,
    evaluate_on_corpus,
    facts_of,
    predicts_masked_words,
)
from clozekit.inference.evaluation_files import write_evaluation
from clozekit.inference.load_predictor import learn_from_rows, make_predictor
from clozekit.inference.missing_head import no_head
from clozekit.inference.row_predictor import Prediction, RowPredictor
from clozekit.interop.pretrained import Pretrained
from clozekit.output.console import PlainConsole
from clozekit.output.display import say
from clozekit.runs.folder import run_of
from clozekit.runs.load_pretrained import load_pretrained
from clozekit.tasks.embedding import EmbeddingModule
from clozekit.tasks.fine_tuning import FineTuningModule


@dataclass(frozen=True)
class Split:
    """The rows of an evaluation.

    Attributes:
        name: The file, or the split of the run's data.
        source: The rows.
        num_unlabelled: The number of rows of the file that are left out, without a label.
        unknown_labels: How often the rows have gold labels that the model does not have.
        notes: What else to say about the rows.
    """

    name: str
    source: LabelledSource
    num_unlabelled: int
    unknown_labels: Mapping[str, int]
    notes: list[str] = field(default_factory=list)


def evaluate(config: EvaluateConfig) -> dict[str, float]:
    """Writes metrics, predictions and plots to a folder, and prints the metrics.

    A pretrained model has no predictions: its metrics are those of validation in training.

    Returns:
        The metrics.

    Raises:
        UserError: The model or the rows cannot be used.
    """
    pretrained = load_pretrained(config.checkpoint, config.trusted_modules)
    if predicts_masked_words(pretrained):
        return _evaluate_pretrained(config, pretrained)
    if config.input is None:
        _check_trust_in_data(pretrained)
    predictor = make_predictor(
        pretrained,
        data_options=config.data_options,
        task_options=config.task_options,
        batch_size=config.batch_size,
        device=config.device,
        precision=config.precision,
    )
    if predictor is None:
        raise ConfigError(f"{no_head(pretrained)}, and so nothing to evaluate")
    if not isinstance(predictor, RowPredictor):
        raise ConfigError(
            f"{pretrained.path} predicts only whether a text follows another, which no metric is "
            "computed of"
        )
    if config.input is not None:
        split = _split_of_file(config.input, predictor)
        rows = split.source.rows
        learn_from_rows(predictor, pretrained, config.task_options, rows.examples)
    else:
        split = _split_of_run(config, pretrained, predictor.module)
    if isinstance(predictor.module, EmbeddingModule) and not any(
        each.is_pair for each in split.source.rows.examples
    ):
        raise DataError(
            f"{split.name}: no row has a second text to compare the first with; an evaluation of "
            "vectors needs pairs"
        )
    out = config.out or _default_out(config, pretrained, split.name)
    check_out(out)
    metrics, predictions = _judge(predictor, split.source)
    rows = split.source.rows
    facts: dict[str, Any] = {
        "data": split.name,
        "num_examples": len(rows.examples),
        "num_unlabelled": split.num_unlabelled,
        "num_truncated": rows.num_truncated,
    }
    if split.unknown_labels:
        facts["unknown_labels"] = dict(split.unknown_labels)
    values = write_evaluation(
        out,
        predictor.module,
        rows.examples,
        metrics,
        predictions,
        facts,
        with_page=config.format == "html",
    )
    _print(values, split, len(predictions), out)
    return values


def _evaluate_pretrained(config: EvaluateConfig, pretrained: Pretrained) -> dict[str, float]:
    """Evaluates a model that was not fine-tuned on the validation split of a corpus."""
    datamodule = corpus_of(config, pretrained)
    path = config.input or str(datamodule.config.paths.get("", "corpus"))
    out = config.out or _default_out(config, pretrained, Path(path).name)
    check_out(out)
    values = evaluate_on_corpus(config, pretrained, datamodule)
    with write_folder_atomically(out) as unfinished:
        write_json(unfinished / "metrics.json", {**facts_of(datamodule), "metrics": values})
    _print_metrics(f"validation split of {path}", values)
    if config.input is None and pretrained.data_hash not in (None, datamodule.data_hash):
        say(
            "the corpus is not the one that the model was trained on (its hash is "
            f"{datamodule.data_hash}, but the checkpoint has {pretrained.data_hash})"
        )
    say(f"wrote the metrics to {out}")
    return values


def _split_of_file(path: str, predictor: RowPredictor) -> Split:
    features = predictor.features
    store = RowStore(features)
    examples, num_unlabelled = store.read(features.read_rows(path), check=True)
    unknown = features.count_unknown(path, examples)
    predictor.module.unknown_labels = features.unknown_labels
    source = LabelledSource(store.encode(examples), is_training=False)
    return Split(path, source, num_unlabelled, unknown)


def _split_of_run(
    config: EvaluateConfig, pretrained: Pretrained, module: FineTuningModule[Any]
) -> Split:
    """Reads a split of the run's own data, with the classes of the model."""
    if pretrained.data is None:
        raise ConfigError("input is missing: set input=… to a file of labelled rows")
    datamodule = _datamodule(pretrained, config.data_options or {}, module.label_names)
    name = config.split or ("test" if "test" in datamodule.sources else "validation")
    if name not in datamodule.sources:
        raise ConfigError(f"split={name}: the run only has {', '.join(datamodule.sources)}")
    module.unknown_labels = datamodule.features.unknown_labels
    source = datamodule.sources[name]
    assert isinstance(source, LabelledSource)
    notes = []
    if pretrained.data_hash not in (None, datamodule.data_hash):
        notes.append(
            "the training rows are not those that the model was trained on (their hash is "
            f"{datamodule.data_hash}, but the checkpoint has {pretrained.data_hash})"
        )
        if name == "validation" and datamodule.config.validation is None:
            notes[0] += "; it may have been trained on rows of this validation split"
    unlabelled = datamodule.num_unlabelled
    num_unlabelled = unlabelled.get(name, unlabelled.get("train", 0))
    return Split(name, source, num_unlabelled, datamodule.unknown_labels.get(name, {}), notes)


def _check_trust_in_data(pretrained: Pretrained) -> None:
    """Checks the task and the data together, so that one message names all modules to trust."""
    if pretrained.data is not None and pretrained.task is not None:
        targets = {
            "task": (pretrained.task["_target_"], TASKS),
            "data": (pretrained.data["_target_"], DATA),
        }
        check_trust(pretrained.path, targets, pretrained.trusted_modules)


def _datamodule(
    pretrained: Pretrained, options: Mapping[str, Any], label_names: list[str] | None
) -> LabelledDataModule[Any]:
    """Makes the DataModule of the training run, of a class in the registry or a trusted module.

    Args:
        pretrained: The model.
        options: Changes to how rows are read.
        label_names: The classes of the model.
    """
    assert pretrained.data is not None
    source, trusted, target = (
        pretrained.path,
        pretrained.trusted_modules,
        pretrained.data["_target_"],
    )
    base: type[LabelledDataModule[Any]] = LabelledDataModule
    data_class = stored_class(source, "data", target, DATA, trusted, base)
    arguments = stored_arguments(source, "data", pretrained.data, DATA.get(target), trusted)
    arguments |= {**options, "tokenizer": pretrained.tokenizer}
    if label_names is not None:
        arguments["label_names"] = label_names
    return construct(source, "data", data_class, arguments)


def _judge(
    predictor: RowPredictor, source: LabelledSource
) -> tuple[nn.ModuleDict, list[Prediction]]:
    """Predicts all rows once; returns the metrics and the predictions in the order of the rows."""
    metrics = predictor.module.metrics_of_a_split().to(predictor.module.device)

    def update(module: FineTuningModule[Any], batch: Batch) -> Tensor:
        return module.evaluate_batch(metrics, batch)

    predictions: list[Prediction] = [{}] * len(source.rows.examples)
    for place, prediction in predictor.predictions(source, update):
        predictions[place] = prediction
    return metrics, predictions


def _default_out(config: EvaluateConfig, pretrained: Pretrained, name: str) -> Path:
    """Returns a folder in the checkpoint's run, or in the current folder if it is in none."""
    if pretrained.task is None:
        raise ConfigError("out is missing: set out=… to the folder to write to")
    data = Path(name).name if config.input else name
    run = run_of(pretrained.path)
    if run is None:
        return Path(f"evaluation-{pretrained.path.stem}-{data}")
    return run.path / f"evaluation-{data}"


def _print(values: Mapping[str, float], split: Split, number: int, out: Path) -> None:
    _print_metrics(f"{split.name}: {number:,} rows", values)
    for note in split.notes:
        say(note)
    if split.unknown_labels:
        say(describe_unknown(split.unknown_labels))
    if split.num_unlabelled:
        say(f"{split.num_unlabelled:,} rows without labels were left out")
    say(f"wrote metrics, predictions and plots to {out}")


def _print_metrics(title: str, values: Mapping[str, float]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for metric, value in values.items():
        table.add_row(metric, f"{value:.4f}")
    PlainConsole(soft_wrap=True).print(table)
