"""Builds the data and the model of a run from a checked configuration."""

import pydoc
from typing import Any

from clozekit.config.composition.build import build, check_kind
from clozekit.config.encoder import EncoderConfig
from clozekit.config.stored.classes import is_trusted
from clozekit.config.tasks import BALANCED
from clozekit.config.train import TrainConfig
from clozekit.config.train_groups import FineTuningConfig
from clozekit.config.values import as_yaml
from clozekit.data.labelled.classification import ClassificationDataModule
from clozekit.data.labelled.kept_files import FOLDER
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.module import StreamDataModule
from clozekit.errors import ConfigError
from clozekit.interop.families import check_model_type
from clozekit.interop.pretrained import Pretrained
from clozekit.models.heads import MaskedLMHead
from clozekit.models.initialization import init_weights
from clozekit.models.kernels.recomputed_dropout import use_default_generator
from clozekit.optim.clipping import GradientClipping
from clozekit.runs.folder import RunFolder
from clozekit.runs.load_pretrained import check_tokenizers_agree
from clozekit.tasks.base import TaskModule
from clozekit.tasks.divergence import DivergenceGuard
from clozekit.tasks.fine_tuning import FineTuningModule
from clozekit.tasks.pretraining import PretrainingModule
from clozekit.tasks.source_metrics import ValidatesSources
from clozekit.training.compiling import compile_encoder
from clozekit.training.optimizer import OptimizerFactory


def make_datamodule(config: TrainConfig, pretrained: Pretrained | None) -> StreamDataModule:
    """Makes the DataModule, with the pretrained encoder's tokenizer if `data.tokenizer` is null."""
    arguments = config.data.arguments()
    if pretrained is not None and "tokenizer" in arguments and arguments["tokenizer"] is None:
        arguments["tokenizer"] = pretrained.tokenizer
    if _is_a(config.data.target, LabelledDataModule):
        arguments["rows_dir"] = config.runs_dir / FOLDER
    datamodule: StreamDataModule = build("data", arguments)
    check_kind("data", config.data.target, datamodule, StreamDataModule)
    return datamodule


def _is_a(target: str, base: type) -> bool:
    """Whether a path names a class, or a subclass of it."""
    try:
        found = pydoc.locate(target)
    except pydoc.ErrorDuringImport:
        return False  # `build` reports it
    return isinstance(found, type) and issubclass(found, base)


def encoder_config(
    given: EncoderConfig, datamodule: StreamDataModule, pretrained: Pretrained | None
) -> EncoderConfig:
    """Takes the sizes from the pretrained encoder, if any, and `vocab_size` from the tokenizer.

    Raises:
        ConfigError: The data's tokenizer or its maximum length does not match the encoder.
    """
    vocab_size = datamodule.vocab_size
    if pretrained is not None and given.pretrained is not None:
        return _pretrained_config(given, datamodule, pretrained)
    check_model_type(given)
    if given.vocab_size is not None and given.vocab_size != vocab_size:
        raise ConfigError(
            f"encoder.vocab_size={given.vocab_size} but the tokenizer has {vocab_size} ids"
        )
    update = {"vocab_size": vocab_size, "classifier_pooling": given.pooling}
    return given.model_copy(update=update)


def _pretrained_config(
    given: EncoderConfig, datamodule: StreamDataModule, pretrained: Pretrained
) -> EncoderConfig:
    check_tokenizers_agree(datamodule.tokenizer, pretrained)
    dropout = given.model_dump(include={"hidden_dropout_prob", "attention_probs_dropout_prob"})
    theirs = pretrained.encoder
    # For safety, a class is imported only if the user's configuration names or trusts it.
    target = given.target
    if target != theirs.target and not theirs.is_own:
        if not is_trusted(theirs.target, pretrained.trusted_modules):
            module = theirs.target.rpartition(".")[0]
            raise ConfigError(
                f"encoder._target_={target} but encoder.pretrained={given.pretrained} was trained "
                f"with {theirs.target}; if you trust that code, set trusted_modules=[{module}], or "
                "encoder._target_ to that class"
            )
        target = theirs.target
    more = {**(given.model_extra or {}), **(theirs.model_extra or {}), "target": target}
    more["classifier_pooling"] = given.classifier_pooling or theirs.pooling
    config = theirs.model_copy(update={**more, **dropout, "pretrained": given.pretrained})
    if given.model_type is not None:
        config = config.model_copy(update={"model_type": given.model_type})
        check_model_type(config)
    assert config.vocab_size is not None
    # The encoder may have more ids than the tokenizer: some models pad the vocabulary.
    if datamodule.vocab_size > config.vocab_size:
        raise ConfigError(
            f"encoder.pretrained={given.pretrained} has vocab_size={config.vocab_size} but the "
            f"tokenizer has {datamodule.vocab_size} ids"
        )
    if datamodule.max_seq_length > config.longest_sequence:
        raise ConfigError(
            f"data.max_seq_length={datamodule.max_seq_length} is more than "
            f"{config.limit_in_words} of encoder.pretrained={given.pretrained}"
        )
    return config


def make_module(
    config: TrainConfig, encoder: EncoderConfig, datamodule: StreamDataModule, max_steps: int
) -> TaskModule[Any]:
    """Makes the task, with randomly initialized weights.

    Raises:
        ConfigError: A class or one of its arguments is not supported.
    """
    arguments = config.optimizer.arguments()
    weight_decay = arguments.pop("weight_decay", 0.0)
    of_the_run: dict[str, Any] = {
        "encoder": encoder,
        "optimizer": OptimizerFactory(config.optimizer.target, arguments),
        "schedule": config.schedule,
        "seed": config.seed,
        "max_steps": max_steps,
        "weight_decay": weight_decay,
        "layerwise_lr_decay": config.fine_tuning.layerwise_lr_decay,
        "clipping": GradientClipping(
            config.trainer.gradient_clip_val, config.trainer.gradient_clip_algorithm
        ),
        "log_every_n_steps": config.trainer.log_every_n_steps,
        "guard": DivergenceGuard(config.divergence, RunFolder(config.run_dir).last_checkpoint),
        **datamodule.task_arguments(),
    }
    for name, value in (config.task.model_extra or {}).items():
        if name in of_the_run:
            raise ConfigError(
                f"task.{name}={as_yaml(value)} has no effect: a run sets it by its other keys and "
                "its data; leave it out"
            )
    module: TaskModule[Any] = build("task", _task_arguments(config, datamodule), **of_the_run)
    check_kind("task", config.task.target, module, TaskModule)
    if isinstance(module, FineTuningModule) and isinstance(datamodule, LabelledDataModule):
        module.unknown_labels = datamodule.features.unknown_labels
    if datamodule.source_names and isinstance(module, ValidatesSources):
        module.validate_sources(datamodule.source_names)
    module.encoder.activation_checkpointing = config.activation_checkpointing
    compile_encoder(module, config.compile)
    if config.fine_tuning.freeze_encoder:
        module.encoder.requires_grad_(False)
        if not any(parameter.requires_grad for parameter in module.parameters()):
            raise ConfigError(
                f"fine_tuning.freeze_encoder=true leaves nothing to train: {config.task.target} "
                "has no layer on top of the encoder"
            )
    if isinstance(head := module.model.heads.get("masked_lm_head"), MaskedLMHead):
        head.compiles_loss = config.compile.enabled
    if config.compile.enabled and config.activation_checkpointing:
        use_default_generator()
    # The Trainer calls it again. Called here, it rejects bad arguments before the folder exists.
    module.configure_optimizers()
    return module


def _task_arguments(config: TrainConfig, datamodule: StreamDataModule) -> dict[str, Any]:
    """Returns the task's arguments, with those that depend on the data."""
    arguments = config.task.arguments()
    objective = getattr(datamodule.config, "pair_objective", "next_sentence")
    if objective != "next_sentence" and _is_a(config.task.target, PretrainingModule):
        arguments["pair_objective"] = objective
    is_balanced = arguments.get("class_weights") == BALANCED
    if is_balanced and isinstance(datamodule, ClassificationDataModule):
        arguments["class_weights"] = datamodule.balanced_weights()
    return arguments


def reinitialize(module: TaskModule[Any], config: FineTuningConfig) -> None:
    """Reinitializes the parts of the encoder that the configuration selects.

    Raises:
        ConfigError: The encoder does not have enough blocks, or has no pooler.
    """
    encoder = module.encoder
    number, std = config.reinit_layers, encoder.config.initializer_range
    if number > len(encoder.blocks):
        raise ConfigError(
            f"fine_tuning.reinit_layers={number} but the encoder has {len(encoder.blocks)} blocks"
        )
    for block in encoder.blocks[len(encoder.blocks) - number :]:
        init_weights(block, std)
    if config.reinit_pooler:
        if encoder.pooler is None:
            raise ConfigError("fine_tuning.reinit_pooler=true but the task's encoder has no pooler")
        init_weights(encoder.pooler, std)


def resolved(config: TrainConfig, encoder: EncoderConfig) -> dict[str, Any]:
    """Returns the configuration in plain containers, with the final encoder configuration."""
    return config.model_dump(mode="json", by_alias=True) | {
        "encoder": encoder.model_dump(by_alias=True)
    }
