"""What processes that work for this one need: an end with it, and tokenizers without threads."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess

TOKENIZER_THREADS = "TOKENIZERS_PARALLELISM"
"""The environment variable by which tokenizers decide whether to use threads."""


def end_with(parent: BaseProcess) -> None:
    """Makes this process end when its parent has ended, for any reason.

    Args:
        parent: The process that started this one, by the package that started it: multiprocessing
            and multiprocess know only their own.
    """

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def serial_tokenizers() -> Iterator[None]:
    """Disables the threads of tokenizers, in this process and those that it starts.

    Threads do not survive a fork, and several processes use all cores without them.
    """
    before = os.environ.get(TOKENIZER_THREADS)
    os.environ[TOKENIZER_THREADS] = "false"
    try:
        yield
    finally:
        del os.environ[TOKENIZER_THREADS]
        if before is not None:
            os.environ[TOKENIZER_THREADS] = before
