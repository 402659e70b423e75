"""The loggers of a run: what they get before training, and how they are closed."""

from lightning.pytorch import Trainer

from clozekit.config.train import TrainConfig
from clozekit.data.module import StreamDataModule
from clozekit.exit_codes import PRUNED, exit_code_of
from clozekit.runs.checkpoint_file import Checkpoint
from clozekit.runs.csv_history import CSVHistory
from clozekit.runs.folder import RunFolder, versions
from clozekit.runs.metrics_file import read_metrics
from clozekit.training.tensorboard import TensorBoardLogger
from clozekit.training.wandb import WandbLogger


def prepare_loggers(
    trainer: Trainer,
    config: TrainConfig,
    datamodule: StreamDataModule,
    folder: RunFolder,
    resumed: Checkpoint | None,
) -> None:
    """Gives the loggers the configuration, and rewinds histories to the step of the checkpoint.

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
