"""Data workers that are killed or cannot pass a batch on: a sentence, and never a wait."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.data._utils import signal_handling

from clozekit.data.loader import loader_options
from clozekit.data.workers import in_words
from clozekit.errors import DataError, WorkerError


@pytest.fixture(autouse=True)
def torchs_own_handler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets torch install its handler of SIGCHLD, which knows the signal that ended a worker.

    It does so once per process, but a Trainer that ran before has restored the one before it.
    """
    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, before)


class Items(IterableDataset[torch.Tensor]):
    """Does something in the worker, then yields a tensor of a mebibyte."""

    def __init__(self, what: Any) -> None:
        self.what = what

    def __iter__(self) -> Iterator[torch.Tensor]:
        self.what()
        yield torch.zeros(2**20, dtype=torch.uint8)


def error_of(what: Any) -> BaseException | None:
    loader = DataLoader(Items(what), **loader_options(1, False))
    with pytest.raises(Exception) as raised:
        list(loader)
    return in_words(raised.value)


class Unsendable:
    """What a tensor does where shared memory is full."""

    def __reduce__(self) -> Any:
        raise RuntimeError(
            "unable to allocate shared memory(shm) for file </torch_1>: No space left on device"
        )


class UnsendableItems(Items):
    def __iter__(self) -> Iterator[Any]:
        yield from (Unsendable(), Unsendable())


def test_a_batch_that_cannot_be_passed_on_is_told() -> None:
    # The time limit turns a wait for the lost batch into another error.
    loader = DataLoader(UnsendableItems(None), timeout=30, **loader_options(1, False))
    with pytest.raises(RuntimeError) as raised:
        list(loader)
    error = in_words(raised.value)
    if error is None:  # The worker still waits, and pytest would wait for it.
        for worker in multiprocessing.active_children():
            worker.kill()
    assert isinstance(error, WorkerError)
    assert str(error).startswith(
        "a data worker cannot pass a batch on through shared memory (/dev/shm): unable to allocate "
    )
    assert "\n" not in str(error) and "data.num_workers=0" in str(error)


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (signal.SIGKILL, "SIGKILL, probably because memory ran out"),
        (signal.SIGBUS, "SIGBUS, because shared memory (/dev/shm) is full or a file was cut"),
        (signal.SIGSEGV, "SIGSEGV; set data.num_workers"),
    ],
)
def test_a_worker_that_is_killed_is_told_with_the_signal(
    number: signal.Signals, cause: str, capfd: pytest.CaptureFixture[str]
) -> None:
    # torch learns of the signal only if the worker ends after the loader has noted its process.
    noted = multiprocessing.Event()

    def end() -> None:
        noted.wait()
        os.kill(os.getpid(), number)

    def first_item() -> torch.Tensor:
        items = iter(DataLoader(Items(end), **loader_options(1, False)))
        noted.set()
        item: torch.Tensor = next(items)
        return item

    with pytest.raises(RuntimeError) as raised:
        first_item()
    error = in_words(raised.value)
    assert isinstance(error, WorkerError)
    assert f"was killed by {cause}" in str(error)
    if number != signal.SIGSEGV:
        assert capfd.readouterr().err == ""


def test_a_worker_that_exits_is_told() -> None:
    error = error_of(lambda: os._exit(3))
    assert isinstance(error, WorkerError) and "ended unexpectedly" in str(error)


def refuse() -> None:
    raise DataError("a.arrow: is: cut\nsecond line")


def test_an_error_of_the_data_is_as_without_workers() -> None:
    error = error_of(refuse)
    assert isinstance(error, DataError)
    assert str(error) == "a.arrow: is: cut\nsecond line"


def read_missing() -> None:
    open("/nowhere/a.arrow")  # noqa: PTH123, SIM115


def test_an_error_of_the_system_is_told() -> None:
    error = error_of(read_missing)
    assert isinstance(error, WorkerError)
    assert "a data worker failed: [Errno 2] No such file or directory: '/nowhere/a" in str(error)


def test_an_error_of_the_program_keeps_its_traceback() -> None:
    assert error_of(lambda: [][1]) is None
