"""From a checked configuration to the objects of a run."""

import math
from functools import partial
from typing import Any

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint as LightningCheckpoint
from lightning.pytorch.callbacks import ProgressBar

from clozekit.config.build import build
from clozekit.config.encoder import EncoderConfig
from clozekit.config.tasks import BALANCED
from clozekit.config.train import Component, FineTuningConfig, TrainConfig
from clozekit.data.labelled.classification import ClassificationDataModule
from clozekit.data.module import StreamDataModule
from clozekit.errors import ConfigError
from clozekit.interop.pretrained import Pretrained
from clozekit.models.initialization import init_weights
from clozekit.runs.checkpoint_file import AtomicCheckpointIO, CheckpointMeta
from clozekit.runs.folder import RunFolder
from clozekit.runs.load_pretrained import check_tokenizers_agree
from clozekit.tasks.base import TaskModule
from clozekit.tasks.divergence import DivergenceGuard
from clozekit.training.checkpoints import Checkpoints
from clozekit.training.history import StepHistory
from clozekit.training.preemption import Preemption
from clozekit.training.rank_watch import RankWatch
from clozekit.training.steps import StatelessSteps

WANDB_LOGGER = "clozekit.training.wandb.WandbLogger"


def make_datamodule(config: TrainConfig, pretrained: Pretrained | None) -> StreamDataModule:
    """Makes the DataModule; one without a tokenizer of its own takes the pretrained encoder's."""
    arguments = config.data.arguments()
    if pretrained is not None and "tokenizer" in arguments and arguments["tokenizer"] is None:
        arguments["tokenizer"] = pretrained.tokenizer
    datamodule: StreamDataModule = build("data", arguments)
    return datamodule


def encoder_config(
    given: EncoderConfig, datamodule: StreamDataModule, pretrained: Pretrained | None
) -> EncoderConfig:
    """Takes the sizes from the pretrained encoder, and the vocabulary's from the tokenizer.

    Raises:
        ConfigError: The data's tokenizer or its longest sequence does not fit the encoder.
    """
    vocab_size = datamodule.vocab_size
    if pretrained is not None and given.pretrained is not None:
        return _pretrained_config(given, datamodule, pretrained)
    if given.vocab_size is not None and given.vocab_size != vocab_size:
        raise ConfigError(
            f"encoder.vocab_size={given.vocab_size}, but the tokenizer has {vocab_size} ids"
        )
    return given.model_copy(update={"vocab_size": vocab_size})


def _pretrained_config(
    given: EncoderConfig, datamodule: StreamDataModule, pretrained: Pretrained
) -> EncoderConfig:
    check_tokenizers_agree(datamodule.tokenizer, pretrained)
    dropout = given.model_dump(include={"hidden_dropout_prob", "attention_probs_dropout_prob"})
    config = pretrained.encoder.model_copy(update={**dropout, "pretrained": given.pretrained})
    assert config.vocab_size is not None
    # A vocabulary may be padded to a round number of ids, which no text uses.
    if datamodule.vocab_size > config.vocab_size:
        raise ConfigError(
            f"encoder.pretrained={given.pretrained} has vocab_size={config.vocab_size}, but the "
            f"tokenizer has {datamodule.vocab_size} ids"
        )
    if datamodule.max_seq_length > config.max_position_embeddings:
        raise ConfigError(
            f"data.max_seq_length={datamodule.max_seq_length} is more than "
            f"max_position_embeddings={config.max_position_embeddings} of "
            f"encoder.pretrained={given.pretrained}"
        )
    return config


def max_steps_of(config: TrainConfig, datamodule: StreamDataModule) -> int:
    """Gives the length of training in optimizer steps."""
    if config.max_steps is not None:
        return config.max_steps
    assert config.max_epochs is not None
    return max(1, math.ceil(config.max_epochs * datamodule.steps_per_epoch()))


def make_module(
    config: TrainConfig, encoder: EncoderConfig, datamodule: StreamDataModule, max_steps: int
) -> TaskModule[Any]:
    """Makes the task, with an encoder whose weights are drawn by the seed."""
    arguments = config.optimizer.arguments()
    weight_decay = arguments.pop("weight_decay", 0.0)
    if config.trainer.precision == "16-mixed" and arguments.get("fused"):
        # A fused optimizer unscales gradients itself, and then they cannot be clipped.
        arguments["fused"] = False
    module: TaskModule[Any] = build(
        "task",
        _task_arguments(config, datamodule),
        encoder=encoder,
        optimizer=partial(build, "optimizer", arguments),
        schedule=config.schedule,
        max_steps=max_steps,
        weight_decay=weight_decay,
        layerwise_lr_decay=config.fine_tuning.layerwise_lr_decay,
        log_every_n_steps=config.trainer.log_every_n_steps,
        guard=DivergenceGuard(config.divergence, RunFolder(config.run_dir).last_checkpoint),
        **datamodule.task_arguments(),
    )
    module.encoder.activation_checkpointing = config.activation_checkpointing
    if config.compile.enabled:
        module.encoder.compile(**config.compile.model_dump(exclude={"enabled"}))
    if config.fine_tuning.freeze_encoder:
        module.encoder.requires_grad_(False)
    # The Trainer makes its own; this one refuses bad arguments before the run has a folder.
    module.configure_optimizers()
    return module


def _task_arguments(config: TrainConfig, datamodule: StreamDataModule) -> dict[str, Any]:
    """Gives the task's arguments; balanced weights follow from the training rows."""
    arguments = config.task.arguments()
    is_balanced = arguments.get("class_weights") == BALANCED
    if is_balanced and isinstance(datamodule, ClassificationDataModule):
        arguments["class_weights"] = datamodule.balanced_weights()
    return arguments


def reinitialize(module: TaskModule[Any], config: FineTuningConfig) -> None:
    """Draws the weights anew of the encoder's parts that the configuration names.

    Raises:
        ConfigError: The encoder has not so many blocks, or no pooler.
    """
    encoder = module.encoder
    number, std = config.reinit_layers, encoder.config.initializer_range
    if number > len(encoder.blocks):
        raise ConfigError(
            f"fine_tuning.reinit_layers={number}: the encoder has {len(encoder.blocks)} blocks"
        )
    for block in encoder.blocks[len(encoder.blocks) - number :]:
        init_weights(block, std)
    if config.reinit_pooler:
        if encoder.pooler is None:
            raise ConfigError("fine_tuning.reinit_pooler=true: the task's encoder has no pooler")
        init_weights(encoder.pooler, std)


def make_trainer(
    config: TrainConfig,
    encoder: EncoderConfig,
    datamodule: StreamDataModule,
    folder: RunFolder,
    max_steps: int,
) -> Trainer:
    """Makes the Trainer; accumulation and validation follow from the number of processes."""
    meta = CheckpointMeta(
        config=resolved(config, encoder),
        tokenizer=datamodule.tokenizer.to_str(),
        data_hash=datamodule.data_hash,
        task_arguments=datamodule.task_arguments(),
    )
    callbacks: list[Callback] = [StatelessSteps(config.seed), StepHistory(), meta, RankWatch()]
    callbacks += sorted(_components("callbacks", config.callbacks), key=_turn)
    trainer: Trainer = build(
        "trainer",
        config.trainer.arguments(),
        max_steps=max_steps,
        max_epochs=-1,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_model_summary=False,
        # Told true, Lightning adds one of its own; told false, it refuses any.
        enable_checkpointing=any(isinstance(c, LightningCheckpoint) for c in callbacks),
        enable_progress_bar=any(isinstance(c, ProgressBar) for c in callbacks),
        plugins=[AtomicCheckpointIO(), *_cluster()],
        logger=_make_loggers(config, folder),
        callbacks=callbacks,
    )
    # Batches hold ids, which no precision changes, and are frozen, which Lightning cannot convert.
    trainer.precision_plugin.convert_input = _unchanged  # type: ignore[assignment]
    # Both follow from the number of processes, which the Trainer knows once it is made.
    phases = datamodule.phases(max_steps, trainer.global_rank, trainer.world_size)
    trainer.accumulate_grad_batches = max(phase.shape.accumulation for phase in phases)
    steps_between = min(config.validate_every_n_steps or max_steps, max_steps)
    trainer.val_check_interval = steps_between * trainer.accumulate_grad_batches
    return trainer


def _cluster() -> list[ClusterEnvironment]:
    """Gives Slurm's, where it started the processes, without Lightning's own way to requeue.

    That is another handler of signals; who starts the job requeues it on the exit code.
    """
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    return [SLURMEnvironment(auto_requeue=False)]


def _turn(callback: Callback) -> int:
    """Orders callbacks.

    What a validation changes in them is in the checkpoint that follows it, and an interrupted run
    ends once that is saved.
    """
    return 2 if isinstance(callback, Preemption) else int(isinstance(callback, Checkpoints))


def _unchanged(batch: Any) -> Any:
    return batch


def _components(group: str, components: dict[str, Component | None]) -> list[Any]:
    return [
        build(f"{group}.{name}", component.arguments())
        for name, component in components.items()
        if component is not None
    ]


def resolved(config: TrainConfig, encoder: EncoderConfig) -> dict[str, Any]:
    """Gives the configuration in plain containers, with the encoder's sizes as they came out."""
    return config.model_dump(mode="json", by_alias=True) | {"encoder": encoder.model_dump()}


def _make_loggers(config: TrainConfig, folder: RunFolder) -> list[Any]:
    loggers = []
    for name, component in config.logger.items():
        if component is None:
            continue
        arguments = component.arguments()
        if component.target == WANDB_LOGGER:
            arguments.setdefault("id", folder.id)
            # The task's module: pretraining, classification, …
            arguments.setdefault(
                "job_type", config.task.target.rpartition(".")[0].rpartition(".")[2]
            )
        loggers.append(build(f"logger.{name}", arguments))
    return loggers
