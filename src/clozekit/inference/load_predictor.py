"""Makes the predictor for a trained model of clozekit or of another library."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from clozekit.config.checks.checking import checked
from clozekit.config.reading import MaskedTextReading
from clozekit.config.registry import (
    ENCODERS,
    PRETRAINING_TASKS,
    TASK_ARGUMENTS,
    TASKS,
    TASKS_OF_HEADS,
)
from clozekit.config.stored.classes import check_trust, construct, stored_arguments, stored_class
from clozekit.config.tasks import PublishedAnsweringConfig
from clozekit.config.values import Precision
from clozekit.data.labelled.features import Features, shown_labels
from clozekit.data.labelled.labelled_datamodule import columns_of
from clozekit.data.labelled.texts import TextFeatures
from clozekit.errors import ConfigError, DataError
from clozekit.inference.precision import InferencePrecision, device_of
from clozekit.inference.pretraining_predictor import PretrainingPredictor
from clozekit.inference.row_predictor import Predictor, RowPredictor
from clozekit.interop.head_names import make_model
from clozekit.interop.pretrained import Pretrained, load_strictly
from clozekit.interop.sentence_transformers import EMBEDDING, check_preprocessing, unsupported
from clozekit.models.encoder_class import make_encoder
from clozekit.runs.load_pretrained import REGRESSION
from clozekit.tasks.answering import AnsweringModule
from clozekit.tasks.classification import ClassificationModule
from clozekit.tasks.embedding import EmbeddingModule
from clozekit.tasks.fine_tuning import FineTuningModule
from clozekit.tasks.tagging import TaggingModule

_NAMES_OF_HEADS = {
    (): "encoder",
    ("masked_lm_head",): "masked_lm",
    ("next_sentence_head",): "next_sentence",
    ("masked_lm_head", "next_sentence_head"): "pretraining",
}
"""The names of models that are not fine-tuned, by their heads."""


def make_predictor(
    pretrained: Pretrained,
    *,
    data_options: Mapping[str, Any] | None = None,
    task_options: Mapping[str, Any] | None = None,
    top_k: int = 5,
    batch_size: int = 32,
    device: str = "auto",
    precision: Precision = "32-true",
) -> Predictor | None:
    """Makes the predictor of a model.

    Args:
        pretrained: The model.
        data_options: Arguments of the DataModule that override those of the training run.
        task_options: Arguments of the task that override those of the training run.
        top_k: Number of words predicted for each [MASK].
        batch_size: Maximum number of sequences in one forward pass.
        device: A torch device; `auto` uses a GPU if one is available.
        precision: The numerical precision, by the names of Lightning's Trainer.

    Returns:
        The predictor, or None for an encoder without a head.

    Raises:
        ConfigError: The task does not have one of the arguments, or the device the precision.
        DataError: The model has no tokenizer.
    """
    if pretrained.tokenizer is None:
        raise DataError(
            f"{pretrained.path}: no tokenizer found; tokenizer.json or vocab.txt is required"
        )
    place = device_of(device)
    computed = InferencePrecision(precision, place)
    group = _task_group(pretrained)
    if group is None:
        if task_options:
            raise ConfigError(
                f"task_options={dict(task_options)} has no effect on {pretrained.path}: a "
                "pretrained model has no options of a task"
            )
        heads = _pretraining_heads(pretrained)
        if not heads:
            if data_options:
                raise ConfigError(
                    f"data_options={dict(data_options)} has no effect on {pretrained.path}: an "
                    "encoder without a head reads no rows"
                )
            return None
        check_encoder(pretrained)
        model = make_model(heads, pretrained.encoder)
        load_strictly(model, weights_of_parts(pretrained, model), _where(pretrained))
        computed.convert(model)
        return PretrainingPredictor(
            model.to(place).eval(),
            pretrained,
            top_k,
            batch_size,
            computed,
            checked("data_options", MaskedTextReading, data_options or {}),
        )
    check_preprocessing(pretrained)
    module = _module(pretrained, group, task_options or {})
    weights = pretrained.weights
    if isinstance(module, EmbeddingModule):
        # The rows decide which metrics there are, not those that the model was validated with.
        module.metric_names = ()
        # A folder of sentence-transformers may have a pooler, which its vectors do not use.
        weights = weights_of_parts(pretrained, module.model)
    load_strictly(module.model, weights, _where(pretrained))
    features = _features(module, pretrained, data_options or {})
    computed.convert(module.model)
    return RowPredictor(module.to(place).eval(), features, batch_size, computed)


def learn_from_rows(
    predictor: RowPredictor,
    pretrained: Pretrained,
    task_options: Mapping[str, Any] | None,
    examples: Sequence[Any],
) -> None:
    """Takes from the rows of an evaluation what the folder of another library does not say.

    Whether "no answer" can be predicted is as in SQuAD 2.0 if a question of the rows has no answer,
    unless the user has chosen.
    """
    module, options = predictor.module, task_options or {}
    if pretrained.task is not None or not isinstance(module, AnsweringModule):
        return
    if options.get("has_unanswerable") is None and not module.has_unanswerable:
        module.has_unanswerable = any(not example.answers for example in examples)


def task_name(pretrained: Pretrained) -> str:
    """Returns the name of a model's task; see `LoadedModel`."""
    group = _task_group(pretrained)
    if group is not None:
        # Of the module; the name may be no class's, which is told where the class is needed.
        return str(group["_target_"]).rpartition(".")[0].rpartition(".")[2]
    return _NAMES_OF_HEADS[_pretraining_heads(pretrained)]


def encoder_of(pretrained: Pretrained) -> torch.nn.Module:
    """Makes the encoder of a model, in evaluation mode."""
    weights = pretrained.part("encoder")
    has_pooler = any(name.startswith("pooler.") for name in weights)
    check_encoder(pretrained)
    encoder = make_encoder(pretrained.encoder, has_pooler)
    assert isinstance(encoder, torch.nn.Module)
    load_strictly(encoder, weights, _where(pretrained))
    return encoder.eval()


def _where(pretrained: Pretrained) -> str:
    encoder = pretrained.encoder
    made = f"encoder._target_={encoder.target}" if not encoder.is_own else "the model"
    return f"{pretrained.path}: {made}"


def _pretraining_heads(pretrained: Pretrained) -> tuple[str, ...]:
    parts = {name.partition(".")[0] for name in pretrained.weights}
    return tuple(head for head in ("masked_lm_head", "next_sentence_head") if head in parts)


def _task_group(pretrained: Pretrained) -> Mapping[str, Any] | None:
    """Returns the task group of a fine-tuned model; None if it is pretrained or has no head."""
    if pretrained.task is not None:
        is_pretraining = pretrained.task["_target_"] in PRETRAINING_TASKS
        return None if is_pretraining else pretrained.task
    heads = {name.partition(".")[0] for name in pretrained.weights}
    for head, target in TASKS_OF_HEADS.items():
        if head in heads:
            is_regression = pretrained.problem_type == "regression"
            return {"_target_": REGRESSION if is_regression else target}
    if pretrained.embedding is None or unsupported(pretrained.embedding):
        return None
    return {"_target_": EMBEDDING, "pooling": pretrained.embedding.pooling}


def _module(
    pretrained: Pretrained, group: Mapping[str, Any], options: Mapping[str, Any]
) -> FineTuningModule[Any]:
    """Makes the task of a fine-tuned model, of a class in the registry or in a trusted module."""
    source, trusted, target = pretrained.path, pretrained.trusted_modules, group["_target_"]
    encoder = {"encoder": (pretrained.encoder.target, ENCODERS)}
    check_trust(source, {"task": (target, TASKS), **encoder}, trusted)
    base = FineTuningModule
    task_class = stored_class(source, "task", target, TASKS, trusted, base)  # type: ignore[type-abstract]
    schema = TASKS.get(target)
    arguments = stored_arguments(source, "task", group, schema, trusted)
    given = _task_arguments(pretrained)
    if pretrained.task is None and issubclass(task_class, AnsweringModule):
        chosen = checked("task_options", PublishedAnsweringConfig, options)
        options = {key: value for key, value in options.items() if key != "has_unanswerable"}
        given["has_unanswerable"] = (
            "no_answer_threshold" in options
            if chosen.has_unanswerable is None
            else chosen.has_unanswerable
        )
    elif schema is not None:
        checked("task_options", schema, options)
        _check_threshold(pretrained, task_class, options)
    of_data = stored_arguments(source, "task", given, TASK_ARGUMENTS.get(target), trusted)
    return construct(
        source,
        "task",
        task_class,
        arguments | dict(options) | {"encoder": pretrained.encoder} | of_data,
    )


def _check_threshold(pretrained: Pretrained, task_class: type, options: Mapping[str, Any]) -> None:
    if (
        issubclass(task_class, AnsweringModule)
        and "no_answer_threshold" in options
        and not pretrained.task_arguments.get("has_unanswerable", False)
    ):
        raise ConfigError(
            f"task_options.no_answer_threshold={options['no_answer_threshold']} has no effect on "
            f"{pretrained.path}: it was trained on questions that all have an answer, so it gives "
            "each one; leave the option out"
        )


def check_encoder(pretrained: Pretrained) -> None:
    """Checks that the class of the encoder is clozekit's own, or in a module that the user trusts.

    Raises:
        ConfigError: It is not.
    """
    target = pretrained.encoder.target
    check_trust(pretrained.path, {"encoder": (target, ENCODERS)}, pretrained.trusted_modules)


def weights_of_parts(pretrained: Pretrained, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Returns the weights of the parts that a model has."""
    return {n: pretrained.weights[n] for n in model.state_dict() if n in pretrained.weights}


def _task_arguments(pretrained: Pretrained) -> dict[str, Any]:
    """Returns the data-dependent arguments of the task, from the checkpoint or `config.json`."""
    if pretrained.task is not None:
        return dict(pretrained.task_arguments)
    arguments: dict[str, Any] = {}
    if pretrained.label_names is not None and pretrained.problem_type != "regression":
        arguments["label_names"] = pretrained.label_names
    if pretrained.problem_type == "multi_label_classification":
        arguments["multi_label"] = True
    return arguments


def _features(
    module: FineTuningModule[Any], pretrained: Pretrained, options: Mapping[str, Any]
) -> Features[Any]:
    features_class = module.features_class
    options_class = features_class.config_class
    given = columns_of(pretrained.data or {}, features_class)
    arguments = stored_arguments(pretrained.path, "data", given, options_class, ())
    longest = pretrained.encoder.longest_sequence
    if "max_seq_length" not in arguments:
        of_folder = pretrained.embedding and (pretrained.embedding.max_seq_length or longest)
        arguments["max_seq_length"] = min(longest, of_folder or 512)
    if isinstance(module, ClassificationModule):
        arguments["multi_label"] = module.multi_label
        if options.get("multi_label", module.multi_label) != module.multi_label:
            raise ConfigError(
                f"data_options.multi_label={options['multi_label']} but the model was trained with "
                f"multi_label={module.multi_label}"
            )
    checked("data_options", options_class, options)
    if isinstance(module, TaggingModule) and "tag_scheme" in options:
        _check_tag_scheme(module, options["tag_scheme"], pretrained)
    features = features_class(pretrained.tokenizer, **{**arguments, **options})  # type: ignore[arg-type]
    if features.max_seq_length > longest:
        raise ConfigError(
            f"data_options.max_seq_length={features.max_seq_length} is more than the encoder of "
            f"{pretrained.path} has: {pretrained.encoder.limit_in_words}"
        )
    features.label_names = module.label_names
    # The column was named for the training rows; other files need not have it.
    features.needs_ids = options.get("id_column") is not None
    if isinstance(features, TextFeatures) and pretrained.data is None:
        features.reads_text_pair = "text_pair_column" not in options
    return features


def _check_tag_scheme(module: TaggingModule, scheme: str, pretrained: Pretrained) -> None:
    """Makes the scheme of `data_options` count, or refuses it."""
    if scheme == "none":
        module.scheme = None
    elif scheme != "auto" and module.scheme is None:
        raise ConfigError(
            f"data_options.tag_scheme={scheme} but the labels of {pretrained.path} "
            f"({shown_labels(module.label_names)}) stand for no entities; use none or auto"
        )
