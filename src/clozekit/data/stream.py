"""Loaders over a source of samples: which rank and worker builds which micro-batch of a step."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from types import FrameType
from typing import Protocol

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from clozekit.data.batch import Batch, Step
from clozekit.data.order import Position, Span, global_batches, part_of
from clozekit.errors import ConfigError


class Source(Protocol):
    """Samples in shards, and how a batch is made of them."""

    @property
    def num_shards(self) -> int:
        """The number of shards; labelled files are one."""
        ...

    def num_samples(self, epoch: int, shard: int) -> int:
        """The number of samples that a shard has in an epoch."""
        ...

    def step_of(self, spans: list[Span], micro_step: int, next_position: Position) -> Step:
        """Describes the global step whose batch is `spans`."""
        ...

    def arranged(self, spans: list[Span]) -> list[Span]:
        """Orders a global batch's samples, so that a micro-batch has little padding."""
        ...

    def evaluation_spans(self, size: int) -> Iterator[Span]:
        """Yields every sample once, in batches of at most `size` sequences where one can be cut."""
        ...

    def build(self, spans: list[Span], step: Step | None) -> Batch:
        """Builds the batch of the samples in `spans`; `step` is None in evaluation."""
        ...


@dataclass(frozen=True)
class BatchShape:
    """How a global batch is shared out.

    Attributes:
        global_batch_size: Samples of an optimizer step, over all processes.
        micro_batch_size: The most samples in one forward pass.
        rank: This process.
        world_size: The number of processes.
    """

    global_batch_size: int
    micro_batch_size: int
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if self.global_batch_size < self.accumulation * self.world_size:
            raise ConfigError(
                f"global_batch_size={self.global_batch_size} leaves a micro-batch empty on "
                f"{self.world_size} processes with micro_batch_size={self.micro_batch_size}; "
                "a larger micro_batch_size or another global_batch_size is needed"
            )

    @property
    def accumulation(self) -> int:
        """Micro-batches of an optimizer step on each process."""
        return -(-self.global_batch_size // (self.micro_batch_size * self.world_size))


@dataclass(frozen=True)
class Phase:
    """A part of training with samples of its own.

    Attributes:
        source: Its samples.
        shape: How its global batches are shared out.
        first_step: The index of its first step.
    """

    source: Source
    shape: BatchShape
    first_step: int = 0


class TrainingStream(IterableDataset[Batch]):
    """One rank's micro-batches from a position on, without end.

    A DataLoader takes its workers' batches in turn, so worker w of W builds every W-th micro-batch
    and the stream is the same for any number of workers.

    A step's phase follows from its index alone. A phase begins with an epoch of its own, since a
    place in an epoch means nothing among samples of another length.

    Args:
        phases: The phases in their order, the first from step 0 on.
        seed: What the order of shards and samples depends on.
        start: Where to begin.
    """

    def __init__(self, phases: Sequence[Phase], seed: int, start: Position) -> None:
        self.phases = list(phases)
        self.seed = seed
        self.start = start

    def __iter__(self) -> Iterator[Batch]:
        worker, num_workers = _this_worker()
        micro_batches = count()
        for phase, drawn, next_position in self._steps():
            source, shape = phase.source, phase.shape
            spans = source.arranged(drawn)
            for micro_step in range(shape.accumulation):
                if next(micro_batches) % num_workers != worker:
                    continue
                part = micro_step * shape.world_size + shape.rank
                num_parts = shape.accumulation * shape.world_size
                step = source.step_of(spans, micro_step, next_position)
                step = replace(step, num_micro_steps=shape.accumulation)
                yield source.build(part_of(spans, part, num_parts), step)

    def _steps(self) -> Iterator[tuple[Phase, list[Span], Position]]:
        """Yields the phase of every step, its global batch, and the position after it."""
        position = self.start
        while True:
            number = self._phase_of(position.step)
            if position.phase != number:
                position = Position(position.step, position.epoch + 1, phase=number)
            phase = self.phases[number]
            source, size = phase.source, phase.shape.global_batch_size
            steps = global_batches(source.num_samples, source.num_shards, self.seed, position, size)
            while self._phase_of(position.step) == number:
                spans, position = next(steps)
                yield phase, spans, position

    def _phase_of(self, step: int) -> int:
        return sum(phase.first_step <= step for phase in self.phases[1:])


class EvaluationStream(IterableDataset[Batch]):
    """One rank's share of all samples, each once over all ranks, never padded with doubles."""

    def __init__(self, source: Source, batch_size: int, rank: int, world_size: int) -> None:
        self.source = source
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[Batch]:
        worker, num_workers = _this_worker()
        spans = self.source.evaluation_spans(self.batch_size)
        own = islice(spans, self.rank, None, self.world_size)
        for span in islice(own, worker, None, num_workers):
            yield self.source.build([span], None)


def make_loader(
    stream: TrainingStream | EvaluationStream,
    num_workers: int,
    pin_memory: bool,
    prefetch_factor: int | None = None,
) -> DataLoader[Batch]:
    """Wraps a stream, whose items are whole batches already, in a DataLoader."""
    return DataLoader(
        stream,
        batch_size=None,
        num_workers=num_workers,
        pin_memory=pin_memory,
        prefetch_factor=prefetch_factor if num_workers else None,
        persistent_workers=num_workers > 0,
        worker_init_fn=_leave_signals_to_the_main_process if num_workers else None,
    )


def _leave_signals_to_the_main_process(worker: int) -> None:
    # Signals reach the whole process group; a worker that died of one would end the main process
    # before it has saved. A second SIGTERM is for the worker: Python ends its children with it when
    # it exits, and then waits for them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _heed_the_next)


def _heed_the_next(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)


def _this_worker() -> tuple[int, int]:
    info = get_worker_info()
    return (info.id, info.num_workers) if info else (0, 1)
