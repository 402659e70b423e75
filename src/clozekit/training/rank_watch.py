"""Ends all processes of a run when one of them is lost or communication between them fails."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import ParallelStrategy

from clozekit.errors import first_line
from clozekit.output.display import warn
from clozekit.processes.signals import ignore_signals_at_exit
from clozekit.training.ending import exit_at_once, write_error
from clozekit.training.failures import is_communication_error
from clozekit.training.preemption import Preemption
from clozekit.training.rank_connections import (
    GRACE_SECONDS,
    Listener,
    Peer,
    Watch,
    connect,
    describe_this_process,
)

RANK_LOST = 1
"""The exit code of a process that ends because another one is lost or does not answer."""

REPORT_SECONDS = 5.0
"""How long a process whose communication failed waits for a report of a lost process."""


class RankWatch(Callback):
    """Ends this process soon after another process of the run is lost.

    The process writes one line to stderr and exits with code 1. If communication raises an error
    (gloo), `watched` ends the process after the loggers are closed. If communication only waits
    (NCCL), the watching thread ends it after `GRACE_SECONDS`.
    """

    def __init__(self) -> None:
        self._watch: Watch | None = None
        self._has_own_error = False
        self._has_left = False
        self._is_announced = False
        self._lock = threading.Lock()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Connects the processes before they start to work."""
        strategy = trainer.strategy
        if self._watch is not None or trainer.world_size == 1:
            return
        assert isinstance(strategy, ParallelStrategy) and strategy.cluster_environment is not None
        peers = self._connected(trainer, strategy.cluster_environment.main_address)
        if peers:
            self._watch = Watch(trainer.global_rank, peers, self._on_loss)
        if isinstance(strategy.cluster_environment, LightningEnvironment):
            self._disable_lightnings_observer(len(peers), trainer.world_size)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Lets this process end with its own error, whatever happens to the others."""
        self._has_own_error = not is_communication_error(exception)

    def goodbye(self) -> None:
        """Tells the other processes that this one is about to end normally."""
        self._has_left = True
        if self._watch is not None:
            self._watch.goodbye()

    def exit_if_lost(self) -> None:
        """Ends this process if another one is known to be lost."""
        if self._watch is not None and self._watch.loss is not None:
            # torchrun also sends SIGTERM then, whose handler would let Python finalize.
            ignore_signals_at_exit()
            self._announce(self._watch.loss)
            exit_at_once(RANK_LOST)

    def exit_after_error(self, rank: int, error: Exception) -> NoReturn:
        """Ends this process because its communication failed.

        Usually another process is lost, and is reported within seconds. If not, another process
        hangs, and the error is the timeout of the process group.
        """
        ignore_signals_at_exit()
        if self._watch is not None:
            self._watch.is_lost.wait(REPORT_SECONDS)
        self.exit_if_lost()
        self._announce(
            f"rank {rank} ends: communication with the other processes failed "
            f"({first_line(error)}); resume=auto continues from the last checkpoint"
        )
        exit_at_once(RANK_LOST)

    def _connected(self, trainer: Trainer, host: str) -> list[Peer]:
        listener = Listener(host) if trainer.is_global_zero else None
        address = (listener.port, listener.token) if listener else (0, "")
        port, token, place = trainer.strategy.broadcast((*address, describe_this_process()))
        if listener is None:
            peers = connect(trainer.global_rank, host, port, token, place)
            missing = [] if peers else [0]
        else:
            peers = listener.accept(trainer.world_size - 1)
            missing = sorted(set(range(1, trainer.world_size)) - {peer.rank for peer in peers})
        if missing:
            warn(
                f"rank {trainer.global_rank} has no connection to rank "
                f"{', '.join(map(str, missing))} at {host}:{port} and would not detect its loss"
            )
        return peers

    def _disable_lightnings_observer(self, num_peers: int, world_size: int) -> None:
        """Disables the thread of Lightning that kills rank 0 without a message."""
        if num_peers == world_size - 1:
            for thread in threading.enumerate():
                if isinstance(thread, _ChildProcessObserver):
                    thread._child_processes = []

    def _on_loss(self, sentence: str) -> None:
        """Runs in the watching thread: the main thread may wait in a collective forever."""
        if self._ends_by_itself():
            return
        self._announce(sentence)
        time.sleep(GRACE_SECONDS)
        if not self._ends_by_itself():
            exit_at_once(RANK_LOST)

    def _ends_by_itself(self) -> bool:
        return self._has_own_error or self._has_left

    def _announce(self, sentence: str) -> None:
        """Writes why this process ends, once, from whichever thread is first."""
        with self._lock:
            if not self._is_announced:
                write_error(sentence)
                self._is_announced = True


@contextmanager
def watched(trainer: Trainer) -> Iterator[None]:
    """Says goodbye to the other processes at the end; exits with a message after a loss."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    (watch,) = (callback for callback in callbacks if isinstance(callback, RankWatch))
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        if any(isinstance(callback, Preemption) and callback.is_agreed for callback in callbacks):
            watch.goodbye()
        else:
            watch.exit_if_lost()
        raise
    except Exception as error:
        if is_communication_error(error):
            watch.exit_after_error(trainer.global_rank, error)
        raise
    watch.goodbye()
