"""Workers that build batches: what signals do to them."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess

import pytest

from clozekit.data.loader import loader_options


def work(ready: object) -> None:
    """Does nothing for long, as a worker whose queue is full."""
    loader_options(num_workers=1, pin_memory=False)["worker_init_fn"](0)
    ready.set()  # type: ignore[attr-defined]
    for _ in range(600):
        time.sleep(0.1)


@pytest.fixture
def worker() -> Iterator[BaseProcess]:
    # The imports are done once for all of them.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([loader_options.__module__])
    ready = context.Event()
    process = context.Process(target=work, args=(ready,), daemon=True)
    process.start()
    assert ready.wait(60)
    yield process
    process.kill()
    process.join()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_to_the_whole_group_leaves_workers_at_work(name: str, worker: BaseProcess) -> None:
    assert worker.pid is not None
    os.kill(worker.pid, signal.Signals[name])
    worker.join(0.5)
    assert worker.is_alive()


def test_a_worker_can_be_ended_all_the_same(worker: BaseProcess) -> None:
    # torch asks once, and Python again at its exit, where it waits for its children without end.
    for _ in range(2):
        worker.terminate()
        worker.join(0.5)
    worker.join(20)
    assert worker.exitcode == -signal.SIGTERM
