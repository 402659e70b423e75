"""Makes the callbacks of the configuration, and checks before training what would fail in it."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping as LightningEarlyStopping
from lightning.pytorch.callbacks import ModelCheckpoint

from clozekit.config.composition.build import build, check_kind
from clozekit.config.train import TrainConfig
from clozekit.errors import ConfigError
from clozekit.storage.urls import is_url
from clozekit.tasks.base import TaskModule
from clozekit.training.callback_checks import check_callback
from clozekit.training.checkpoints import Checkpoints
from clozekit.training.monitoring import AUTO, EarlyStopping

LOGGED_IN_TRAINING = ("train/", "probe/", "lr-")
"""The beginnings of the names of metrics that are no validation's, and not known before it."""

COUNTERS = ("step", "epoch")
"""What Lightning's `ModelCheckpoint` can go by, too."""


def make_callbacks(config: TrainConfig) -> dict[str, Callback]:
    """Makes the callbacks, by their names in the group.

    Raises:
        ConfigError: A class or one of its arguments is not supported.
        DataError: A file of a callback cannot be used.
    """
    made: dict[str, Callback] = {}
    for name, component in config.callbacks.items():
        if component is not None:
            arguments = component.arguments()
            callback: Callback = build(f"callbacks.{name}", arguments)
            check_kind(f"callbacks.{name}", component.target, callback, Callback)
            check_callback(f"callbacks.{name}", callback, arguments, config)
            made[name] = callback
    has_checkpoints = any(isinstance(callback, Checkpoints) for callback in made.values())
    if config.divergence.action == "rollback" and not has_checkpoints:
        raise ConfigError(
            "divergence.action=rollback goes back to the last checkpoint, and there are none; add "
            "checkpoints to callbacks, or set divergence.action=stop"
        )
    return made


def monitors_of(
    callbacks: Mapping[str, Callback], module: TaskModule[Any]
) -> dict[str, dict[str, Any]]:
    """Returns the metric and the mode of each callback that goes by a metric of validations.

    Lightning's callbacks may go by other metrics too, which are only known when they are logged.

    Args:
        callbacks: The callbacks by their names.
        module: The task.
    """
    known = module.validation_metrics_and_modes() or {}
    has_own = any(not _is_ours_or_lightnings(callback) for callback in callbacks.values())
    found = {}
    for name, callback in callbacks.items():
        if isinstance(callback, Checkpoints):
            found[name] = {"monitor": callback.monitor, "mode": callback.mode}
        elif isinstance(callback, EarlyStopping):
            found[name] = {"monitor": callback.monitor, "mode": callback.given_mode}
        elif isinstance(callback, LightningEarlyStopping | ModelCheckpoint):
            monitor = callback.monitor
            is_counter = isinstance(callback, ModelCheckpoint) and monitor in COUNTERS
            if monitor is None or is_counter or monitor.startswith(LOGGED_IN_TRAINING):
                continue
            # A callback of the user's may log a metric of this name.
            if monitor in known or not has_own:
                found[name] = {"monitor": monitor, "mode": callback.mode}
    return found


def check_validations(
    callbacks: Mapping[str, Callback],
    monitors: Mapping[str, Any],
    config: TrainConfig,
    trainer: Trainer,
) -> None:
    """Checks that there are the validations that callbacks wait for.

    Args:
        callbacks: The callbacks by their names.
        monitors: The metric and the mode of those that go by one of validations.
        config: The run's configuration.
        trainer: The Trainer, whose limits are numbers of batches.

    Raises:
        ConfigError: A callback waits for validations, and there are none or only one at the end.
    """
    if config.trainer.fast_dev_run:
        return
    # A Trainer that validates at a time interval does not have it.
    interval = getattr(trainer, "val_check_interval", None)
    has_one = isinstance(interval, int) and interval >= trainer.max_steps
    for name, callback in callbacks.items():
        monitor = monitors.get(name, {}).get("monitor")
        is_stopping = (
            isinstance(callback, LightningEarlyStopping) and not callback._check_on_train_epoch_end
        )
        # Without a validation, checkpoints by the default metric are only the last ones.
        is_by_name = isinstance(callback, Checkpoints | ModelCheckpoint) and monitor != AUTO
        waits = is_stopping or (is_by_name and monitor is not None)
        if waits and trainer.limit_val_batches == 0:
            raise ConfigError(
                f"callbacks.{name} goes by {getattr(callback, 'monitor', monitor)} of validations, "
                "and with trainer.limit_val_batches=0 there are none; set another limit, or leave "
                f"{name} out"
            )
        if is_stopping and has_one:
            raise ConfigError(
                f"callbacks.{name} has no effect with only one validation, which is at the end; "
                f"set validate_every_n_steps to less than the {trainer.max_steps} steps of the "
                f"run, or leave {name} out"
            )


def _is_ours_or_lightnings(callback: Callback) -> bool:
    return type(callback).__module__.startswith(("clozekit.", "lightning."))


def check_folders(callbacks: Mapping[str, Callback]) -> None:
    """Creates the folders in which callbacks save checkpoints, and tries to write in them.

    Raises:
        ConfigError: A folder cannot be created or written.
    """
    for name, callback in callbacks.items():
        folder = getattr(callback, "dirpath", None)
        is_saved = isinstance(callback, Checkpoints | ModelCheckpoint)
        if not is_saved or folder is None or is_url(str(folder)):
            continue
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ConfigError(
                f"callbacks.{name}.dirpath={folder} cannot be written: {error.strerror}"
            ) from error
