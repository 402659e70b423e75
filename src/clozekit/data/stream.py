"""Loaders over a source of samples: which rank and worker builds which part of which step."""

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from types import FrameType
from typing import Any, Protocol

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from clozekit.data.batch import Batch
from clozekit.data.order import Position, Span, global_batches, part_of
from clozekit.data.step import EvaluationBatch, StepBatch, StepTotals
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

    def totals(self, spans: list[Span]) -> StepTotals:
        """Counts what the global batch `spans` holds, without building it."""
        ...

    def arranged(self, spans: list[Span]) -> list[Span]:
        """Orders a global batch's samples, so that a micro-batch has little padding."""
        ...

    def evaluation_spans(self, size: int) -> Iterator[Span]:
        """Yields every sample once, in batches of at most `size` sequences where one can be cut."""
        ...

    def build(self, spans: list[Span], is_training: bool) -> Batch:
        """Builds the batch of the samples in `spans`."""
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

    @property
    def num_parts(self) -> int:
        """Micro-batches of an optimizer step on all processes."""
        return self.accumulation * self.world_size

    @property
    def own_parts(self) -> range:
        """This process's micro-batches among those of all."""
        return range(self.rank, self.num_parts, self.world_size)


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


class TrainingStream(IterableDataset[StepBatch[Batch]]):
    """One rank's share of every step from a position on, without end.

    A DataLoader takes its workers' items in turn, so worker w of W builds every W-th step and the
    stream is the same for any number of workers.

    A step's phase follows from its index alone. A phase begins with an epoch of its own, since a
    place in an epoch means nothing among samples of another length.

    Args:
        phases: The phases in their order, the first from step 0 on.
        seed: What the order of shards and samples depends on.
        start: Where an iterator begins; the loader sets it.
        overfit_steps: How many steps are repeated for ever; None for no repetition.
    """

    def __init__(
        self,
        phases: Sequence[Phase],
        seed: int,
        start: Position,
        overfit_steps: int | None = None,
    ) -> None:
        self.phases = list(phases)
        self.seed = seed
        self.start = start
        self.overfit_steps = overfit_steps

    def __iter__(self) -> Iterator[StepBatch[Batch]]:
        worker, num_workers = _this_worker()
        steps = self._steps() if self.overfit_steps is None else self._repeated_steps()
        for phase, spans, next_position in islice(steps, worker, None, num_workers):
            source, shape = phase.source, phase.shape
            totals, arranged = source.totals(spans), source.arranged(spans)
            yield StepBatch(
                index=next_position.step - 1,
                totals=totals,
                next_position=next_position,
                micro_batches=tuple(
                    source.build(part_of(arranged, part, shape.num_parts), is_training=True)
                    for part in shape.own_parts
                ),
            )

    def _steps(self, start: Position | None = None) -> Iterator[tuple[Phase, list[Span], Position]]:
        """Yields the phase of every step, its global batch, and the position after it."""
        position = start or self.start
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

    def _repeated_steps(self) -> Iterator[tuple[Phase, list[Span], Position]]:
        """Yields the first steps again and again; only their numbers go on."""
        assert self.overfit_steps is not None
        first = list(islice(self._steps(Position()), self.overfit_steps))
        done = self.start.step
        for phase, spans, position in islice(cycle(first), done % self.overfit_steps, None):
            done += 1
            yield phase, spans, replace(position, step=done)

    def _phase_of(self, step: int) -> int:
        return sum(phase.first_step <= step for phase in self.phases[1:])


class EvaluationStream(IterableDataset[EvaluationBatch[Batch]]):
    """One rank's share of all samples, each once over all ranks, never padded with duplicates."""

    def __init__(self, source: Source, batch_size: int, rank: int, world_size: int) -> None:
        self.source = source
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[EvaluationBatch[Batch]]:
        for span in self._own_spans():
            yield EvaluationBatch(self.source.build([span], is_training=False))

    def num_batches(self) -> int:
        """Counts this rank's batches, which plans every shard."""
        return sum(1 for _ in self._own_spans())

    def _own_spans(self) -> Iterator[Span]:
        spans = self.source.evaluation_spans(self.batch_size)
        return islice(spans, self.rank, None, self.world_size)


class TrainingLoader(DataLoader[StepBatch[Batch]]):
    """Every iterator goes on from the current position.

    Lightning begins a new iterator after `limit_train_batches` steps; workers may have built steps
    beyond them, which are built again. Workers end with their iterator, for they know only the
    position that it began at.

    Args:
        stream: The steps.
        position: Gives the current position.
        **options: The arguments of torch's DataLoader.
    """

    def __init__(
        self, stream: TrainingStream, position: Callable[[], Position], **options: Any
    ) -> None:
        super().__init__(stream, **options)
        self.stream = stream
        self.position = position

    def __iter__(self) -> Any:
        self.stream.start = self.position()
        return super().__iter__()


def loader_options(
    num_workers: int, pin_memory: bool, prefetch_factor: int | None = None
) -> dict[str, Any]:
    """Gives a DataLoader's options for streams, whose items are whole batches already."""
    return {
        "batch_size": None,
        "num_workers": num_workers,
        "pin_memory": pin_memory,
        "prefetch_factor": prefetch_factor if num_workers else None,
        "worker_init_fn": _leave_signals_to_the_main_process if num_workers else None,
    }


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
