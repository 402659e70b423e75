"""Errors that end a training: what they mean, and whether the weights are still good."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed
from lightning.fabric.utilities.exceptions import MisconfigurationException

from clozekit.data.module import StreamDataModule
from clozekit.data.workers import in_words
from clozekit.errors import ConfigError
from clozekit.tasks.divergence import DivergenceError


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
