"""Makes the callbacks of the configuration, and checks before training what would fail in it."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

from clozekit.config.build import build, check_kind
from clozekit.config.train import TrainConfig
from clozekit.config.trainer_keys import REFUSED_CALLBACKS
from clozekit.errors import ConfigError
from clozekit.training.checkpoints import Checkpoints
from clozekit.urls import is_url


def make_callbacks(config: TrainConfig) -> dict[str, Callback]:
    """Makes the callbacks, by their names in the group.

    Raises:
        ConfigError: A class or one of its arguments is not supported.
    """
    made: dict[str, Callback] = {}
    for name, component in config.callbacks.items():
        if component is not None:
            arguments = component.arguments()
            callback: Callback = build(f"callbacks.{name}", arguments)
            check_kind(f"callbacks.{name}", component.target, callback, Callback)
            _check_callback(f"callbacks.{name}", callback, arguments, config)
            made[name] = callback
    return made


def _check_callback(
    key: str, callback: Callback, arguments: dict[str, Any], config: TrainConfig
) -> None:
    for kind in type(callback).__mro__:
        if kind.__name__ in REFUSED_CALLBACKS and kind.__module__.startswith("lightning."):
            raise ConfigError(
                f"{key}: {kind.__name__} is not supported: {REFUSED_CALLBACKS[kind.__name__]}"
            )
    if isinstance(callback, ModelCheckpoint) and arguments.get("train_time_interval"):
        # Lightning ignores it under manual optimization.
        raise ConfigError(
            f"{key}.train_time_interval is not supported; use callbacks.checkpoints.every_n_minutes"
        )
    if isinstance(callback, Checkpoints):
        _check_folder(key, callback, config.run_dir / "checkpoints")


def _check_folder(key: str, checkpoints: Checkpoints, folder: Path) -> None:
    """Checks that checkpoints are saved where all verbs look for those of a run."""
    if checkpoints.dirpath.resolve() != folder.resolve():
        raise ConfigError(
            f"{key}.dirpath={checkpoints.dirpath}: it should be {folder}, where resume, from_run "
            "and the verbs look for the checkpoints of this run; set runs_dir for another place"
        )


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
