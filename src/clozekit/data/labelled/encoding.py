"""Encodes stored examples part by part: in this process if they are few, else in several."""

import gc
import signal
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from typing import Any

import pyarrow as pa

from clozekit.data.labelled.encoded_columns import to_columns
from clozekit.data.labelled.examples import StoredExamples
from clozekit.data.labelled.features import Features
from clozekit.data.labelled.row_file import CHUNK_ROWS
from clozekit.environment import num_cores
from clozekit.errors import WorkerError
from clozekit.processes.workers import end_with, serial_tokenizers

MOST_WORKERS = 4
"""The maximum number of processes; each needs some 60 MiB of its own."""

_ROWS_AT_ONCE = 256
"""Encoded at once: the tokenizer's own objects need far more memory than the arrays."""


def encoded_chunks(
    features: Features[Any], examples: StoredExamples[Any]
) -> Iterator[pa.RecordBatch]:
    """Yields the encoded rows of all examples of a file, in their order.

    Raises:
        WorkerError: One of the processes was killed.
    """
    file = examples.file
    parts = _Parts(features, examples)
    workers = min(MOST_WORKERS, num_cores(), file.num_chunks)
    if not file.is_large or workers == 1 or not sys.platform.startswith("linux"):
        yield from map(parts.encoded, range(file.num_chunks))
        return
    # Forked, so that the processes share the memory of this one. A new process would import torch.
    with (
        serial_tokenizers(),
        ProcessPoolExecutor(workers, get_context("fork"), _begin_worker, (parts,)) as pool,
    ):
        waiting: deque[Future[pa.RecordBatch]] = deque()
        try:
            for number in range(file.num_chunks):
                waiting.append(pool.submit(_encode, number))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise WorkerError(
                "a process that tokenizes the rows was killed, probably because memory ran out"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@dataclass
class _Parts:
    """The parts of a file's examples."""

    features: Features[Any]
    examples: StoredExamples[Any]

    def encoded(self, chunk: int) -> pa.RecordBatch:
        """Encodes a chunk of the file."""
        begin = chunk * CHUNK_ROWS
        vocab_size = max(self.features.tokenizer.get_vocab().values()) + 1
        parts = [
            to_columns(self.features.encode(part, is_labelled=True), vocab_size)
            for part in self.examples[begin : begin + CHUNK_ROWS].parts(_ROWS_AT_ONCE)
        ]
        (whole,) = pa.Table.from_batches(parts).combine_chunks().to_batches()
        return whole


_of_this_worker: list[_Parts] = []


def _begin_worker(parts: _Parts) -> None:
    _of_this_worker.append(parts)
    # A collection would write to all objects of the main process, and so copy their memory.
    gc.disable()
    # Signals go to the whole process group; the main process ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    parent = parent_process()
    assert parent is not None
    end_with(parent)


def _encode(chunk: int) -> pa.RecordBatch:
    (parts,) = _of_this_worker
    return parts.encoded(chunk)
