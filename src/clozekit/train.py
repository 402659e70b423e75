"""`clozekit train`: trains a model from a checked configuration and writes the run's folder."""

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything

from clozekit.config.callbacks import monitoring_arguments
from clozekit.config.train import TrainConfig
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.module import StreamDataModule
from clozekit.errors import UserError
from clozekit.exit_codes import INTERRUPTED, USER_ERROR
from clozekit.files import write_json, write_text
from clozekit.inference.tracking import log_predictions
from clozekit.interop.pretrained import Pretrained
from clozekit.runs.checkpoint_file import Checkpoint, load_checkpoint
from clozekit.runs.csv_history import CSVHistory
from clozekit.runs.curves import plot_curves
from clozekit.runs.folder import RunFolder, is_first_process, refuse_existing, versions
from clozekit.runs.load_pretrained import from_checkpoint, load_pretrained
from clozekit.runs.metrics_file import read_metrics
from clozekit.runs.resume import adopt, check_agreement, check_weights, checkpoint_to_resume
from clozekit.tasks.base import TaskModule
from clozekit.tasks.fine_tuning import FineTuningModule
from clozekit.training.assembly import (
    encoder_config,
    make_datamodule,
    make_module,
    max_steps_of,
    reinitialize,
    resolved,
)
from clozekit.training.checkpoints import Checkpoints
from clozekit.training.monitoring import check_monitors, monitored
from clozekit.training.preemption import Preemption
from clozekit.training.rank_watch import watched
from clozekit.training.run_summary import print_summary
from clozekit.training.tensorboard import TensorBoardLogger
from clozekit.training.trainer import make_trainer
from clozekit.training.wandb import WandbLogger


def train(config: TrainConfig) -> dict[str, float]:
    """Trains a model, evaluates it, and writes everything to the run's folder.

    Args:
        config: The complete configuration.

    Returns:
        The final metrics on the validation split and, if any, the test split: of the last weights
        in pretraining and of the best checkpoint in fine-tuning.

    Raises:
        UserError: The configuration or the data cannot be used.
    """
    _silence_warnings(shows_profile=config.trainer.profiler is not None)
    folder = RunFolder.at(config.run_dir)
    if is_first_process() and config.resume is None:
        refuse_existing(folder.path)
    seed_everything(config.seed, verbose=False)
    torch.set_float32_matmul_precision(config.trainer.float32_matmul_precision)

    resumed = checkpoint_to_resume(config.resume, folder.path)
    trusted = config.trusted_modules
    pretrained = None if resumed is None else from_checkpoint(resumed, trusted)
    if resumed is None and config.encoder.pretrained is not None:
        pretrained = load_pretrained(config.encoder.pretrained, trusted, needs_task_head=False)
    datamodule = make_datamodule(config, pretrained)
    encoder = encoder_config(config.encoder, datamodule, pretrained)
    if resumed is not None:
        given = resolved(config, encoder)
        check_agreement(resumed, given, datamodule.tokenizer.to_str(), datamodule.data_hash)
    max_steps = max_steps_of(config, datamodule)
    module = make_module(config, encoder, datamodule, max_steps)
    if resumed is not None:
        check_weights(resumed, module.state_dict())
    if resumed is None and pretrained is not None:
        _load_pretrained_weights(module, pretrained)
    if resumed is None:
        reinitialize(module, config.fine_tuning)
    check_monitors(monitoring_arguments(config), module)
    trainer = make_trainer(config, encoder, datamodule, folder, max_steps)
    if config.trainer.fast_dev_run:
        return _try_out(trainer, module, datamodule)

    if trainer.is_global_zero:
        # Only after everything is built, so that an invalid configuration leaves no folder.
        _open_folder(folder, config, resumed, _selection_metric(trainer, module))
        write_text(folder.tokenizer_file, datamodule.tokenizer.to_str())
        print_summary(module, encoder, datamodule, trainer, folder)
    _prepare_loggers(trainer, config, datamodule, folder, resumed)
    with watched(trainer):
        try:
            _fit(trainer, module, datamodule, resumed)
            trainer.save_checkpoint(folder.last_checkpoint, weights_only=False)
            results = _evaluate(trainer, module, datamodule, folder)
            _track_end(trainer, module, datamodule, folder)
        finally:
            _close(trainer, _exit_code(sys.exception()))
    if trainer.is_global_zero:
        write_json(folder.results_file, {"step": trainer.global_step, **results})
        plot_curves(folder)
        print(f"results, curves and checkpoints are in {folder.path}")
    return results


def _try_out(
    trainer: Trainer, module: TaskModule[Any], datamodule: StreamDataModule
) -> dict[str, float]:
    """Runs Lightning's `fast_dev_run`: a few steps of everything, without writing any files."""
    with watched(trainer):
        trainer.fit(module, datamodule=datamodule)
        results = _metrics(trainer)
        if "test" in datamodule.sources:
            trainer.test(module, datamodule=datamodule, verbose=False)
            results |= _metrics(trainer)
    if trainer.is_global_zero:
        print("fast_dev_run: training, validation and test ran; nothing was written")
    return results


def _load_pretrained_weights(module: TaskModule[Any], pretrained: Pretrained) -> None:
    new_parts = pretrained.load_into(module.model)
    if is_first_process():
        if new_parts:
            print(
                f"{pretrained.path} has no weights for {', '.join(new_parts)}; these are "
                "initialized randomly"
            )
        if pretrained.unused:
            print(f"{pretrained.path} has unused weights: {', '.join(pretrained.unused)}")


def _evaluate(
    trainer: Trainer, module: TaskModule[Any], datamodule: StreamDataModule, folder: RunFolder
) -> dict[str, float]:
    """Evaluates the best checkpoint or the last weights on the validation and test splits."""
    checkpoint: Path | None = None
    if module.evaluates_best:
        best = folder.best_checkpoint
        checkpoint = best if best.exists() else folder.last_checkpoint
    is_validated = module.validated_step == trainer.global_step
    # Whether the weights in memory are those of the checkpoint.
    is_at_hand = checkpoint is None or load_checkpoint(checkpoint).step == trainer.global_step
    if trainer.limit_val_batches and not (is_validated and is_at_hand):
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
        if name.startswith(("validation/", "test/"))
    }


def _selection_metric(trainer: Trainer, module: TaskModule[Any]) -> tuple[str, str]:
    """Returns the metric that selects the best checkpoint, and its mode."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Checkpoints):
            name, mode = monitored(module, callback.monitor, callback.mode)
            if name is not None:
                return name, mode
    return module.monitor, module.monitor_mode


def _open_folder(
    folder: RunFolder, config: TrainConfig, resumed: Checkpoint | None, monitored: tuple[str, str]
) -> None:
    values = config.model_dump(mode="json", by_alias=True)
    if resumed is None and config.resume is None:
        folder.create(values, monitored)
        return
    source = None if resumed is None else f"step {resumed.step} ({resumed.path})"
    folder.reopen(values, source, monitored)
    if resumed is None:
        print(f"{folder.path} has no checkpoint; the run starts from step 0", flush=True)
    else:
        if config.resume != "auto":
            adopt(resumed, folder.checkpoints)
        print(f"resumed at step {resumed.step} from {resumed.path}", flush=True)


def _prepare_loggers(
    trainer: Trainer,
    config: TrainConfig,
    datamodule: StreamDataModule,
    folder: RunFolder,
    resumed: Checkpoint | None,
) -> None:
    values = {
        **config.model_dump(mode="json", by_alias=True),
        "versions": versions(),
        "data_hash": datamodule.data_hash,
    }
    for logger in trainer.loggers:
        if isinstance(logger, CSVHistory | TensorBoardLogger):
            logger.rewind(0 if resumed is None else resumed.step)
        if trainer.enable_autolog_hparams:
            logger.log_hyperparams(values)
    if resumed is not None:
        for logger in _wandb_loggers(trainer):
            logger.fill(read_metrics(folder.metrics_file))


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


def _track_end(
    trainer: Trainer, module: TaskModule[Any], datamodule: StreamDataModule, folder: RunFolder
) -> None:
    """Logs predictions and checkpoints to W&B."""
    if not trainer.is_global_zero:
        return
    for logger in _wandb_loggers(trainer):
        if isinstance(module, FineTuningModule) and isinstance(datamodule, LabelledDataModule):
            module.to(trainer.strategy.root_device)
            log_predictions(logger.experiment, module, datamodule)
        logger.log_checkpoints(
            (folder.last_checkpoint, folder.best_checkpoint), trainer.global_step
        )


def _close(trainer: Trainer, exit_code: int) -> None:
    for logger in trainer.loggers:
        logger.finalize("success" if exit_code == 0 else "failed")
    for logger in _wandb_loggers(trainer):
        logger.finish(exit_code)


def _exit_code(error: BaseException | None) -> int:
    """Returns the exit code of the process for an error."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, UserError):
        return USER_ERROR
    return 0 if error is None else 1


def _wandb_loggers(trainer: Trainer) -> list[WandbLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]


def _silence_warnings(shows_profile: bool) -> None:
    """Silences warnings that do not apply, because clozekit defines its own epochs and batches."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if shows_profile:
        logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)
    os.environ.setdefault("WANDB_SILENT", "true")
    for message in (
        ".*does not have many workers.*",
        ".*but have no logger configured.*",
        ".*no pre-optimization state was saved.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*Experiment logs directory .* exists and is not empty.*",
        ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
        # torchmetrics objects reduce metrics over processes before they are logged.
        ".*It is recommended to use `self.log\\(.*sync_dist=True\\)`.*",
    ):
        warnings.filterwarnings("ignore", message)
