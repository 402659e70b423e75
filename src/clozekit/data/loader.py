"""Loaders of streams, which continue at the current position and copy steps to a GPU ahead."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from clozekit.data.batch import Batch
from clozekit.data.order import Position
from clozekit.data.step import StepBatch
from clozekit.data.stream import TrainingStream
from clozekit.data.workers import kill_workers_at_exit, start_worker


class TrainingLoader(DataLoader[StepBatch[Batch]]):
    """A loader whose iterators start at the current position.

    Lightning makes a new iterator after `limit_train_batches` steps. Workers may have built steps
    beyond that, which are built again. Workers exit with their iterator, since they only know the
    position at which it started.

    Args:
        stream: The steps.
        position: Returns the current position.
        device: The GPU to which steps are copied ahead: Lightning fetches a step before it trains
            on the one before, so the copy runs next to the computation. None to leave copies to
            Lightning.
        **options: The arguments of torch's DataLoader.
    """

    def __init__(
        self,
        stream: TrainingStream,
        position: Callable[[], Position],
        device: torch.device | None = None,
        **options: Any,
    ) -> None:
        super().__init__(stream, **options)
        self.stream = stream
        self.position = position
        self.device = device

    def __iter__(self) -> Any:
        self.stream.start = self.position()
        if self.num_workers:
            kill_workers_at_exit()
        steps = super().__iter__()
        return steps if self.device is None else _copied_ahead(steps, self.device)


def loader_options(
    num_workers: int, pin_memory: bool, prefetch_factor: int | None = None
) -> dict[str, Any]:
    """Returns a DataLoader's options for streams, whose items are complete batches."""
    return {
        "batch_size": None,
        "num_workers": num_workers,
        "pin_memory": pin_memory,
        "prefetch_factor": prefetch_factor if num_workers else None,
        "worker_init_fn": start_worker if num_workers else None,
    }


def _copied_ahead(
    steps: Iterator[StepBatch[Batch]], device: torch.device
) -> Iterator[StepBatch[Batch]]:
    for step in steps:
        step.start_copy(device)
        yield step
