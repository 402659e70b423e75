"""How a process ends whose communication failed."""

import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from clozekit.processes.signals import exit_on_stop_signals
from clozekit.training import rank_watch
from clozekit.training.rank_watch import RANK_LOST, RankWatch


class Ended(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The handlers of the command, which are replaced again; and an end that can be caught."""
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    exit_on_stop_signals()

    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(rank_watch, "exit_at_once", end)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("loss", ["rank 1 is lost", None])
def test_a_signal_meanwhile_does_not_change_how_it_ends(
    loss: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    """As from torchrun, which sends SIGTERM to the others when one of its processes is lost."""

    def wait(seconds: float) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    watch: Any = RankWatch()
    watch._watch = SimpleNamespace(is_lost=SimpleNamespace(wait=wait), loss=loss)
    with pytest.raises(Ended) as caught:
        watch.exit_after_error(0, RuntimeError("Connection closed by peer"))
    assert caught.value.args == (RANK_LOST,)
    assert (loss or "communication with the other processes failed") in capfd.readouterr().err
