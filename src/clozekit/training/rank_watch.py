"""A lost process ends the others of its run, which would wait for it for half an hour."""

import os
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import ParallelStrategy

from clozekit.training.preemption import Preemption
from clozekit.training.rank_connections import (
    GRACE_SECONDS,
    Listener,
    Peer,
    Watch,
    connect,
    place_of_this_process,
    tell,
)

RANK_LOST = 1
"""The exit code of a process that ends because another one is lost."""

VERDICT_SECONDS = 5.0
"""How long a process whose communication failed waits to hear whom it has lost."""


class RankWatch(Callback):
    """Ends this process within seconds, with a sentence that names it, once another one is lost.

    Where the communication between processes raises an error, that error ends it; where it waits
    on, as NCCL does, the process is ended.
    """

    def __init__(self) -> None:
        self._watch: Watch | None = None
        self._has_own_error = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Connects the processes, before the first of their work."""
        strategy = trainer.strategy
        if self._watch is not None or trainer.world_size == 1:
            return
        assert isinstance(strategy, ParallelStrategy) and strategy.cluster_environment is not None
        peers = self._connected(trainer, strategy.cluster_environment.main_address)
        if peers:
            self._watch = Watch(trainer.global_rank, peers, self._end)
        if isinstance(strategy.cluster_environment, LightningEnvironment):
            self._replace_lightnings_observer(len(peers), trainer.world_size)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Lets an error of this process's own end it, whatever becomes of the others."""
        self._has_own_error = not is_of_communication(exception)

    def goodbye(self) -> None:
        """Tells the others that this process ends as it should."""
        if self._watch is not None:
            self._watch.goodbye()

    def has_lost_one(self) -> bool:
        """Whether another process is lost, as far as is known some seconds from now."""
        return self._watch is not None and self._watch.is_lost.wait(VERDICT_SECONDS)

    def _connected(self, trainer: Trainer, host: str) -> list[Peer]:
        listener = Listener(host) if trainer.is_global_zero else None
        told = (listener.port, listener.token) if listener else (0, "")
        port, token, place = trainer.strategy.broadcast((*told, place_of_this_process()))
        if listener is None:
            peers = connect(trainer.global_rank, host, port, token, place)
            missing = [] if peers else [0]
        else:
            peers = listener.accept(trainer.world_size - 1)
            missing = sorted(set(range(1, trainer.world_size)) - {peer.rank for peer in peers})
        if missing:
            warnings.warn(
                f"rank {trainer.global_rank} has no connection to rank "
                f"{', '.join(map(str, missing))} at {host}:{port}, whose loss it would not notice",
                stacklevel=2,
            )
        return peers

    def _replace_lightnings_observer(self, num_peers: int, world_size: int) -> None:
        """Takes over from the thread that kills the first process with no word of why."""
        if num_peers == world_size - 1:
            for thread in threading.enumerate():
                if isinstance(thread, _ChildProcessObserver):
                    thread._child_processes = []

    def _end(self, sentence: str) -> None:
        if self._has_own_error:
            return
        tell(sentence)
        time.sleep(GRACE_SECONDS)
        if not self._has_own_error:
            os._exit(RANK_LOST)


@contextmanager
def watched(trainer: Trainer) -> Iterator[None]:
    """Takes leave of the other processes where work ends well, and of lost ones in a sentence."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    (watch,) = (callback for callback in callbacks if isinstance(callback, RankWatch))
    try:
        yield
    except SystemExit:
        if any(isinstance(callback, Preemption) and callback.is_agreed for callback in callbacks):
            watch.goodbye()
        raise
    except Exception as error:
        if is_of_communication(error) and watch.has_lost_one():
            raise SystemExit(RANK_LOST) from None
        raise
    watch.goodbye()


def is_of_communication(error: BaseException) -> bool:
    """Whether an error says that processes could not talk to each other."""
    is_gloos = isinstance(error, RuntimeError) and "gloo" in str(error)
    return is_gloos or isinstance(error, torch.distributed.DistError)
