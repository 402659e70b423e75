"""`clozekit train`: from a checked configuration to a trained model in a run's folder."""

import logging
import math
import os
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import Checkpoint as LightningCheckpoint
from lightning.pytorch.callbacks import ProgressBar

from clozekit.config.build import build
from clozekit.config.encoder import EncoderConfig
from clozekit.config.train import Component, TrainConfig
from clozekit.data.module import StreamDataModule
from clozekit.errors import ConfigError
from clozekit.runs.checkpoint import (
    AtomicCheckpointIO,
    Checkpoint,
    CheckpointMeta,
    load_checkpoint,
)
from clozekit.runs.folder import (
    RunFolder,
    is_first_process,
    refuse_existing,
    write_json,
    write_text,
)
from clozekit.runs.history import CSVHistory
from clozekit.runs.plots import plot_curves
from clozekit.runs.resume import check_agreement, checkpoint_to_resume
from clozekit.tasks.base import TaskModule
from clozekit.tasks.divergence import DivergenceGuard
from clozekit.training.history import StepHistory
from clozekit.training.preemption import INTERRUPTED, Preemption
from clozekit.training.steps import StatelessSteps, validation_is_due
from clozekit.training.summary import print_summary

WANDB_LOGGER = "clozekit.training.wandb.WandbLogger"


def train(config: TrainConfig) -> dict[str, float]:
    """Trains a model, evaluates it, and leaves everything in the run's folder.

    Args:
        config: The whole configuration.

    Returns:
        The metrics at the end: the last validation's in pretraining, and of the best checkpoint in
        fine-tuning, with those of the test split where there is one.

    Raises:
        UserError: Something in the configuration or the data cannot be used.
    """
    _quieten()
    folder = RunFolder.at(config.run_dir)
    if is_first_process() and config.resume is None:
        refuse_existing(folder.path)
    seed_everything(config.seed, verbose=False)

    resumed = checkpoint_to_resume(config.resume, folder.path)
    pretrained = resumed
    if resumed is None and config.encoder.pretrained is not None:
        pretrained = load_checkpoint(config.encoder.pretrained)
    datamodule = _make_datamodule(config, pretrained)
    encoder = _encoder_config(config.encoder, datamodule, pretrained)
    if resumed is not None:
        given = _resolved(config, encoder)
        check_agreement(resumed, given, datamodule.tokenizer.to_str(), datamodule.data_hash)
    max_steps = _max_steps(config, datamodule)
    module = _make_module(config, encoder, datamodule, max_steps)
    if resumed is None and pretrained is not None:
        module.encoder.load_state_dict(pretrained.weights("model.encoder."))
    trainer = _make_trainer(config, encoder, datamodule, folder, max_steps)

    if trainer.is_global_zero:
        # Not before all is made of the configuration, so that a refused one takes no name.
        _open_folder(folder, config, resumed)
        write_text(folder.tokenizer_file, datamodule.tokenizer.to_str())
        print_summary(module, encoder, datamodule, trainer, folder)
    _prepare_loggers(trainer, config, resumed)
    try:
        _fit(trainer, module, datamodule, resumed)
        trainer.save_checkpoint(folder.last_checkpoint, weights_only=False)
        results = _evaluate(trainer, module, datamodule, folder)
    finally:
        _close(trainer)
    if trainer.is_global_zero:
        write_json(folder.results_file, {"step": trainer.global_step, **results})
        plot_curves(folder)
        print(f"results, curves and checkpoints are in {folder.path}")
    return results


def _make_datamodule(config: TrainConfig, pretrained: Checkpoint | None) -> StreamDataModule:
    arguments = config.data.arguments()
    if pretrained is not None and "tokenizer" in arguments and arguments["tokenizer"] is None:
        arguments["tokenizer"] = pretrained.tokenizer
    datamodule: StreamDataModule = build("data", arguments)
    return datamodule


def _encoder_config(
    given: EncoderConfig, datamodule: StreamDataModule, pretrained: Checkpoint | None
) -> EncoderConfig:
    """Takes the sizes from the pretrained encoder, and the vocabulary's from the tokenizer."""
    vocab_size = datamodule.vocab_size
    if pretrained is not None and given.pretrained is not None:
        dropout = given.model_dump(include={"hidden_dropout_prob", "attention_probs_dropout_prob"})
        given = EncoderConfig.model_validate(
            {**pretrained.config["encoder"], **dropout, "pretrained": given.pretrained}
        )
    if given.vocab_size is not None and given.vocab_size != vocab_size:
        raise ConfigError(
            f"encoder.vocab_size={given.vocab_size}, but the tokenizer has {vocab_size} ids"
        )
    return given.model_copy(update={"vocab_size": vocab_size})


def _max_steps(config: TrainConfig, datamodule: StreamDataModule) -> int:
    if config.max_steps is not None:
        return config.max_steps
    assert config.max_epochs is not None
    return max(1, math.ceil(config.max_epochs * datamodule.steps_per_epoch()))


def _make_module(
    config: TrainConfig, encoder: EncoderConfig, datamodule: StreamDataModule, max_steps: int
) -> TaskModule[Any]:
    arguments = config.optimizer.arguments()
    weight_decay = arguments.pop("weight_decay", 0.0)
    if config.trainer.precision == "16-mixed" and arguments.get("fused"):
        # A fused optimizer unscales gradients itself, and then they cannot be clipped.
        arguments["fused"] = False
    module: TaskModule[Any] = build(
        "task",
        config.task.arguments(),
        encoder=encoder,
        optimizer=partial(build, "optimizer", arguments),
        schedule=config.schedule,
        max_steps=max_steps,
        weight_decay=weight_decay,
        log_every_n_steps=config.trainer.log_every_n_steps,
        guard=DivergenceGuard(config.divergence, RunFolder(config.run_dir).last_checkpoint),
        **datamodule.task_arguments(),
    )
    # The Trainer makes its own; this one refuses bad arguments before the run has a folder.
    module.configure_optimizers()
    return module


def _make_trainer(
    config: TrainConfig,
    encoder: EncoderConfig,
    datamodule: StreamDataModule,
    folder: RunFolder,
    max_steps: int,
) -> Trainer:
    meta = CheckpointMeta(
        config=_resolved(config, encoder),
        tokenizer=datamodule.tokenizer.to_str(),
        data_hash=datamodule.data_hash,
        label_names=datamodule.task_arguments().get("label_names"),
    )
    callbacks: list[Callback] = [StatelessSteps(config.seed), StepHistory(), meta]
    callbacks += _components("callbacks", config.callbacks)
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
        plugins=[AtomicCheckpointIO()],
        logger=_make_loggers(config, folder),
        callbacks=callbacks,
    )
    # Batches hold ids, which no precision changes, and are frozen, which Lightning cannot convert.
    trainer.precision_plugin.convert_input = _unchanged  # type: ignore[assignment]
    # Both follow from the number of processes, which the Trainer knows once it is made.
    shape = datamodule.batch_shape(trainer.global_rank, trainer.world_size)
    trainer.accumulate_grad_batches = shape.accumulation
    steps_between = min(config.validate_every_n_steps or max_steps, max_steps)
    trainer.val_check_interval = steps_between * shape.accumulation
    return trainer


def _unchanged(batch: Any) -> Any:
    return batch


def _evaluate(
    trainer: Trainer, module: TaskModule[Any], datamodule: StreamDataModule, folder: RunFolder
) -> dict[str, float]:
    """Evaluates the weights that the task is judged by, on the splits that training did not see."""
    checkpoint: Path | None = None
    if module.evaluates_best:
        best = folder.best_checkpoint
        checkpoint = best if best.exists() else folder.last_checkpoint
    is_validated = validation_is_due(trainer) and len(_metrics(trainer)) > 0
    if checkpoint is not None or not is_validated:
        trainer.validate(
            module, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True, verbose=False
        )
    results = _metrics(trainer)
    if "test" in datamodule.sources:
        trainer.test(
            module, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True, verbose=False
        )
        results |= _metrics(trainer)
    return results


def _metrics(trainer: Trainer) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in trainer.callback_metrics.items()
        if name not in ("step", "epoch")
    }


def _components(group: str, components: dict[str, Component | None]) -> list[Any]:
    return [
        build(f"{group}.{name}", component.arguments())
        for name, component in components.items()
        if component is not None
    ]


def _resolved(config: TrainConfig, encoder: EncoderConfig) -> dict[str, Any]:
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
        loggers.append(build(f"logger.{name}", arguments))
    return loggers


def _open_folder(folder: RunFolder, config: TrainConfig, resumed: Checkpoint | None) -> None:
    values = config.model_dump(mode="json", by_alias=True)
    if resumed is None and config.resume is None:
        folder.create(values)
        return
    folder.reopen(values, None if resumed is None else f"step {resumed.step} ({resumed.path})")
    if resumed is None:
        print(f"{folder.path} has no checkpoint to resume: the run begins anew", flush=True)
    else:
        print(f"resumed at step {resumed.step} from {resumed.path}", flush=True)


def _prepare_loggers(trainer: Trainer, config: TrainConfig, resumed: Checkpoint | None) -> None:
    for logger in trainer.loggers:
        logger.log_hyperparams(config.model_dump(mode="json", by_alias=True))
        if isinstance(logger, CSVHistory):
            logger.rewind(0 if resumed is None else resumed.step)


def _fit(
    trainer: Trainer,
    module: TaskModule[Any],
    datamodule: StreamDataModule,
    resumed: Checkpoint | None,
) -> None:
    try:
        trainer.fit(
            module,
            datamodule=datamodule,
            ckpt_path=None if resumed is None else resumed.path,
            weights_only=True,
        )
    except SystemExit:
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        if any(isinstance(c, Preemption) and c.aborted for c in callbacks):
            raise SystemExit(INTERRUPTED) from None
        raise


def _close(trainer: Trainer) -> None:
    for logger in trainer.loggers:
        logger.finalize("success" if trainer.state.finished else "failed")
    import wandb

    if wandb.run is not None:
        wandb.finish(exit_code=0 if trainer.state.finished else 1)


def _quieten() -> None:
    """Silences advice that does not fit a run whose epochs and batches are clozekit's own."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    os.environ.setdefault("WANDB_SILENT", "true")
    for message in (
        ".*does not have many workers.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*Experiment logs directory .* exists and is not empty.*",
        ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
        # Metrics are torchmetrics objects, which are summed over processes before they are logged.
        ".*It is recommended to use `self.log\\(.*sync_dist=True\\)`.*",
    ):
        warnings.filterwarnings("ignore", message)
