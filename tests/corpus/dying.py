"""A task of `prepare` whose process is killed, as where memory is short."""

import os
import signal

from clozekit.corpus.stages import tokens
from clozekit.corpus.work_folder import Work


def tokenize_group(work: Work, number: int) -> None:
    if number == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    tokens.tokenize_group(work, number)
