"""The loggers of a run: how they are made, what they get before training, and how they end."""

import inspect
import os
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers import TensorBoardLogger as LightningTensorBoardLogger
from lightning.pytorch.loggers import WandbLogger as LightningWandbLogger

from clozekit.config.composition.build import build, check_kind
from clozekit.config.train import TrainConfig
from clozekit.data.module import StreamDataModule
from clozekit.errors import ConfigError
from clozekit.exit_codes import PRUNED, exit_code_of
from clozekit.runs.checkpoint_file import Checkpoint
from clozekit.runs.csv_history import CSVHistory
from clozekit.runs.folder import RunFolder, versions
from clozekit.runs.metrics_file import read_metrics
from clozekit.training.tensorboard import TensorBoardLogger
from clozekit.training.wandb import WandbLogger, agents_run_id

WANDB_LOGGER = "clozekit.training.wandb.WandbLogger"


def make_loggers(config: TrainConfig, folder: RunFolder) -> list[Logger]:
    """Makes the loggers of the configuration.

    Raises:
        ConfigError: A class or one of its arguments is not supported.
    """
    loggers = []
    for name, component in config.logger.items():
        if component is None:
            continue
        arguments = component.arguments()
        if component.target == WANDB_LOGGER:
            arguments.setdefault("id", agents_run_id() or folder.id)
            # The name of the task's Python module: pretraining, classification, …
            module = config.task.target.rpartition(".")[0].rpartition(".")[2]
            arguments.setdefault("job_type", os.environ.get("WANDB_JOB_TYPE") or module)
        logger: Logger = build(f"logger.{name}", arguments)
        check_kind(f"logger.{name}", component.target, logger, Logger)
        _check_names(f"logger.{name}", logger, arguments)
        loggers.append(logger)
    return loggers


def _check_names(group: str, logger: Logger, arguments: dict[str, Any]) -> None:
    """Checks the arguments that a logger passes on to its library when training begins."""
    if not type(logger).__module__.startswith(("clozekit.", "lightning.")):
        return
    known = _names_of(*type(logger).__mro__[:-1])
    if isinstance(logger, LightningWandbLogger):
        import wandb

        known |= _names_of(wandb.init)
    elif isinstance(logger, LightningTensorBoardLogger):
        known |= _names_of(_summary_writer()) - {"log_dir"}  # which the logger sets
    else:
        return
    for name in arguments:
        if name not in known and not name.startswith("_"):
            close = get_close_matches(name, known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise ConfigError(
                f"unknown key '{group}.{name}'{hint}; the keys in {group} are "
                f"{', '.join(sorted(known))}"
            )


def _names_of(*made: Any) -> set[str]:
    """Returns the names of the arguments of functions and of classes."""
    return {
        name
        for each in made
        for name, parameter in inspect.signature(each).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def _summary_writer() -> Any:
    """Returns the class that Lightning's logger makes: of torch, or of the package tensorboardX."""
    has_tensorboard = find_spec("tensorboard") is not None
    library = import_module("torch.utils.tensorboard" if has_tensorboard else "tensorboardX")
    return library.SummaryWriter


def prepare_loggers(
    trainer: Trainer,
    config: TrainConfig,
    datamodule: StreamDataModule,
    folder: RunFolder,
    resumed: Checkpoint | None,
) -> None:
    """Gives loggers the configuration and the step, and rewinds histories to the checkpoint's step.

    Args:
        trainer: The Trainer.
        config: The run's configuration.
        datamodule: The data.
        folder: The run's folder.
        resumed: The checkpoint that the run resumes from, if any.
    """
    values = {
        **config.model_dump(mode="json", by_alias=True),
        "versions": versions(),
        "data_hash": datamodule.data_hash,
    }
    for logger in trainer.loggers:
        if isinstance(logger, CSVHistory | TensorBoardLogger):
            logger.rewind(0 if resumed is None else resumed.step)
        if isinstance(logger, CSVHistory):
            logger.follow(lambda: trainer.global_step)
        if trainer.enable_autolog_hparams:
            logger.log_hyperparams(values)
    if resumed is not None:
        for logger in wandb_loggers(trainer):
            logger.fill(read_metrics(folder.metrics_file))


def close_loggers(trainer: Trainer, error: BaseException | None) -> None:
    """Finishes all loggers.

    Args:
        trainer: The Trainer.
        error: The error that ends the run, if any. Then further errors of the loggers, such as a
            full disk, are left out: the first one is to be reported.
    """
    exit_code = exit_code_of(error)
    if exit_code == PRUNED:
        exit_code = 0  # It has not failed.
    try:
        for logger in trainer.loggers:
            logger.finalize("success" if exit_code == 0 else "failed")
        for wandb in wandb_loggers(trainer):
            wandb.finish(exit_code)
    except Exception:
        if error is None:
            raise


def wandb_loggers(trainer: Trainer) -> list[WandbLogger]:
    """Returns the loggers of Weights & Biases."""
    return [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
