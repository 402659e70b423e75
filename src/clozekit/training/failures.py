"""Errors that end a training: what they mean, and whether the weights are still good."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed
from lightning.fabric.utilities.exceptions import MisconfigurationException

from clozekit.config.train import TrainConfig
from clozekit.data.module import StreamDataModule
from clozekit.data.workers import in_words
from clozekit.errors import ConfigError, DivergenceError
from clozekit.exit_codes import USER_ERROR
from clozekit.runs.folder import is_first_process


@contextmanager
def worker_errors_in_words(datamodule: StreamDataModule) -> Iterator[None]:
    """Raises the failure of a data worker as an error in one sentence.

    Raises:
        UserError: A data worker raised it, or a file was cut.
        WorkerError: A data worker was killed or cannot go on.
    """
    try:
        yield
    except Exception as error:
        told = in_words(error)
        if told is None:
            raise
        # A worker that reads past the end of a file dies silently.
        datamodule.check_files()
        raise told from error


@contextmanager
def lightning_errors_in_words() -> Iterator[None]:
    """Raises what Lightning or one of its callbacks refuses as an error in one sentence.

    Raises:
        ConfigError: Lightning refused something that the configuration asks for.
    """
    try:
        yield
    except Exception as error:
        # Of the exact types: errors of devices are subclasses.
        refusals = (ModuleNotFoundError, RuntimeError, TypeError, ValueError)
        is_callbacks = raised_in(error).startswith("lightning.pytorch.callbacks.")
        is_refusal = type(error) in refusals and not is_communication_error(error)
        if not (isinstance(error, MisconfigurationException) or (is_callbacks and is_refusal)):
            raise
        raise ConfigError(" ".join(str(error).split())) from error


def raised_in(error: BaseException) -> str:
    """Returns the name of the module that raised an error."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return str(frames[-1][0].f_globals.get("__name__", "")) if frames else ""


@contextmanager
def divergence_in_words(config: TrainConfig) -> Iterator[None]:
    """Raises a divergence of steps that are only measured as an error in one sentence.

    Raises:
        ConfigError: The loss or the gradient of a measured step is too large or not finite.
    """
    try:
        yield
    except DivergenceError as error:
        if not is_first_process():
            # It is the same on all processes; the first one reports it.
            raise SystemExit(USER_ERROR) from None
        why = "plan=true" if config.plan else f"budget={config.budget}"
        raise ConfigError(f"{why}: in the steps that are measured, {error}") from error


def is_of_restoring(error: BaseException) -> bool:
    """Whether an error is from the part of Lightning that restores a checkpoint."""
    frames = (frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(
        Path(code.co_filename).name == "checkpoint_connector.py" and "restore" in code.co_name
        for code in frames
    )


def is_communication_error(error: BaseException) -> bool:
    """Whether an error says that processes could not communicate."""
    is_gloo = isinstance(error, RuntimeError) and "gloo" in str(error)
    return is_gloo or isinstance(error, torch.distributed.DistError)


def leaves_weights_good(error: BaseException) -> bool:
    """Whether the weights of the last complete step are worth saving after an error.

    They are not if the run diverges: resume from an older checkpoint then. They may not be
    if the device fails. If another process is lost, all go on from a checkpoint that all know.
    """
    spoils = (DivergenceError, torch.AcceleratorError)
    return isinstance(error, Exception) and not (
        isinstance(error, spoils) or is_communication_error(error)
    )
