"""Checks the callbacks of a configuration one by one: Lightning's, and clozekit's own."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    DeviceStatsMonitor,
    LearningRateMonitor,
    ModelCheckpoint,
    ModelSummary,
    Timer,
)
from lightning.pytorch.callbacks import EarlyStopping as LightningEarlyStopping
from lightning.pytorch.callbacks.timer import Interval

from clozekit.config.checks.trainer_keys import REFUSED_CALLBACKS
from clozekit.config.train import TrainConfig
from clozekit.errors import ConfigError
from clozekit.storage.urls import is_url
from clozekit.training.checkpoints import Checkpoints
from clozekit.training.probes import Probes


def check_callback(
    key: str, callback: Callback, arguments: dict[str, Any], config: TrainConfig
) -> None:
    """Checks a callback of the configuration.

    Args:
        key: Its key, for messages.
        callback: The callback.
        arguments: The arguments that it is made from.
        config: The run's configuration.

    Raises:
        ConfigError: It would fail in training, or not do what it says.
    """
    for kind in type(callback).__mro__:
        if kind.__name__ in REFUSED_CALLBACKS and kind.__module__.startswith("lightning."):
            raise ConfigError(
                f"{key}: {kind.__name__} is not supported: {REFUSED_CALLBACKS[kind.__name__]}"
            )
    if isinstance(callback, ModelCheckpoint):
        _check_model_checkpoint(key, callback, arguments, config)
    if isinstance(callback, ModelSummary) and callback._max_depth < -1:
        raise ConfigError(f"{key}.max_depth={callback._max_depth}: it should be -1, 0 or more")
    if isinstance(callback, Timer) and callback._duration is not None and callback._duration <= 0:
        raise ConfigError(f"{key}.duration is 0, so nothing would be trained; it should be more")
    if config.trainer.is_one_epoch and (by_epochs := _of_epochs(callback)) is not None:
        given, instead = by_epochs
        raise ConfigError(
            f"{key}.{given} has no effect, because Lightning sees the whole run as one epoch; "
            f"{instead}"
        )
    has_logger = any(config.logger.values()) or config.trainer.fast_dev_run
    if isinstance(callback, LearningRateMonitor | DeviceStatsMonitor) and not has_logger:
        raise ConfigError(
            f"{key}: {type(callback).__name__} writes to loggers, and there are none; set "
            "logger=csv, or leave it out"
        )
    if isinstance(callback, Checkpoints):
        _check_folder(key, callback, config.run_dir / "checkpoints")
    if isinstance(callback, Probes):
        callback.check_columns(key)


def _check_model_checkpoint(
    key: str, callback: ModelCheckpoint, arguments: dict[str, Any], config: TrainConfig
) -> None:
    """Checks what Lightning's checkpoints go by, and that they are not among clozekit's own."""
    if arguments.get("train_time_interval"):
        # Lightning ignores it under manual optimization.
        raise ConfigError(
            f"{key}.train_time_interval is not supported; use callbacks.checkpoints.every_n_minutes"
        )
    interval, logged = callback._every_n_train_steps, config.trainer.log_every_n_steps
    if (callback.monitor or "").startswith("train/") and interval % logged:
        raise ConfigError(
            f"{key}.every_n_train_steps={interval} would save steps by {callback.monitor} of an "
            f"earlier step; it should be a multiple of trainer.log_every_n_steps={logged}"
        )
    own, given = config.run_dir / "checkpoints", callback.dirpath
    if given is None and not any(config.logger.values()):
        # Without a logger's folder, Lightning takes that of the run.
        root = config.trainer.arguments().get("default_root_dir") or config.run_dir
        given = Path(root) / "checkpoints"
    if given is not None and not is_url(str(given)) and Path(given).resolve() == own.resolve():
        raise ConfigError(
            f"{key}.dirpath={given} is where clozekit saves and deletes its own checkpoints; it "
            "should be another folder"
        )


def _of_epochs(callback: Callback) -> tuple[str, str] | None:
    """Returns what lets a callback of Lightning's wait for the end of epochs, and what to do."""
    if isinstance(callback, Timer) and callback._interval == Interval.epoch:
        return "interval=epoch", "use interval=step"
    if isinstance(callback, ModelCheckpoint) and callback._every_n_epochs > 1:
        return f"every_n_epochs={callback._every_n_epochs}", "use every_n_train_steps"
    if isinstance(callback, LightningEarlyStopping) and callback._check_on_train_epoch_end:
        return "check_on_train_epoch_end=true", "leave it out, and set validate_every_n_steps"
    if isinstance(callback, LearningRateMonitor) and callback.logging_interval == "epoch":
        return "logging_interval=epoch", "use logging_interval=step"
    return None


def _check_folder(key: str, checkpoints: Checkpoints, folder: Path) -> None:
    """Checks that checkpoints are saved where all verbs look for those of a run."""
    if checkpoints.dirpath.resolve() != folder.resolve():
        raise ConfigError(
            f"{key}.dirpath={checkpoints.dirpath}: it should be {folder}, where resume, from_run "
            "and the verbs look for the checkpoints of this run; set runs_dir for another place"
        )
