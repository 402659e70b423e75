"""Errors that end a training: what they mean, and whether the weights are still good."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed

from clozekit.data.module import StreamDataModule
from clozekit.data.workers import in_words
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
