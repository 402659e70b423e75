"""Streams over a source of samples: the share of each step that a rank and a worker build."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from typing import Protocol

from torch.utils.data import IterableDataset, get_worker_info

from clozekit.data.batch import Batch
from clozekit.data.mixing import Mixture, mixed_batches
from clozekit.data.order import Position, Span, global_batches, joined, part_of
from clozekit.data.step import EvaluationBatch, StepBatch, StepTotals
from clozekit.errors import ConfigError


class Source(Protocol):
    """Samples in shards, and how batches are built from them."""

    @property
    def num_shards(self) -> int:
        """The number of shards; 1 for labelled rows."""
        ...

    def num_samples(self, epoch: int, shard: int) -> int:
        """The number of samples of a shard in an epoch."""
        ...

    def totals(self, spans: list[Span]) -> StepTotals:
        """Returns the totals of the global batch `spans` without building it."""
        ...

    def arranged(self, spans: list[Span]) -> list[Span]:
        """Sorts the samples of a global batch so that micro-batches have little padding."""
        ...

    def evaluation_spans(self, size: int) -> Iterator[Span]:
        """Yields every sample once, in batches of at most `size` sequences if possible."""
        ...

    def build(self, spans: list[Span], is_training: bool) -> Batch:
        """Builds the batch of the samples in `spans`."""
        ...


@dataclass(frozen=True)
class BatchShape:
    """The split of a global batch into micro-batches.

    Attributes:
        global_batch_size: The number of samples per optimizer step, over all processes.
        micro_batch_size: The maximum number of samples per forward pass.
        rank: The rank of this process.
        world_size: The number of processes.
        key: The key of the phase in `data`, if any, for messages.
    """

    global_batch_size: int
    micro_batch_size: int
    rank: int = 0
    world_size: int = 1
    key: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.global_batch_size < self.accumulation * self.world_size:
            of_phase = f"data.{self.key}: " if self.key else ""
            raise ConfigError(
                f"{of_phase}data.global_batch_size={self.global_batch_size} leaves a micro-batch "
                f"empty on {self.world_size} processes with "
                f"data.micro_batch_size={self.micro_batch_size}; "
                "use a larger micro_batch_size or another global_batch_size"
            )

    @property
    def accumulation(self) -> int:
        """The number of micro-batches per optimizer step on each process."""
        return -(-self.global_batch_size // (self.micro_batch_size * self.world_size))

    @property
    def num_parts(self) -> int:
        """The number of micro-batches per optimizer step on all processes."""
        return self.accumulation * self.world_size

    @property
    def own_parts(self) -> range:
        """The indices of this process's micro-batches among those of all processes."""
        return range(self.rank, self.num_parts, self.world_size)


@dataclass(frozen=True)
class Phase:
    """A phase of training.

    Attributes:
        source: The source of its samples.
        shape: The split of its global batches.
        first_step: The index of its first step.
        mixture: The shares of the sources in a mixture, if there are several.
        max_seq_length: The maximum length of its samples. A phase whose samples are as long as
            those of the phase before continues its epoch; None begins an epoch in any case.
    """

    source: Source
    shape: BatchShape
    first_step: int = 0
    mixture: Mixture | None = None
    max_seq_length: int | None = None

    def continues_epoch_of(self, other: "Phase") -> bool:
        """Whether a position in the epoch of another phase has a meaning in this one."""
        return self.max_seq_length is not None and self.max_seq_length == other.max_seq_length

    def batches(self, seed: int, start: Position) -> Iterator[tuple[list[Span], Position]]:
        """Yields the spans of each global batch and the position after it, without end.

        Args:
            seed: The seed of the order of shards and samples.
            start: The position to start from.
        """
        source, size = self.source, self.shape.global_batch_size
        if self.mixture is None:
            return global_batches(source.num_samples, source.num_shards, seed, start, size)
        return mixed_batches(source.num_samples, self.mixture, seed, start, size)


class TrainingStream(IterableDataset[StepBatch[Batch]]):
    """One rank's share of each step from a position on, without end.

    A DataLoader takes items from its workers in turn. Worker w of W builds every W-th step, so the
    stream is the same for any number of workers.

    The phase of a step depends only on its index.

    Args:
        phases: The phases in order; the first starts at step 0.
        seed: The seed of the order of shards and samples.
        start: The position where an iterator starts; the loader sets it.
        overfit_steps: The number of steps to repeat without end; None for no repetition.
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
            joins = phase.mixture is not None
            totals = source.totals(joined(spans) if joins else spans)
            arranged = source.arranged(spans)
            parts = [part_of(arranged, part, shape.num_parts) for part in shape.own_parts]
            yield StepBatch(
                index=next_position.step - 1,
                totals=totals,
                next_position=next_position,
                micro_batches=tuple(
                    source.build(joined(part) if joins else part, is_training=True)
                    for part in parts
                ),
                phase=next_position.phase if len(self.phases) > 1 else None,
            )

    def _steps(self, start: Position | None = None) -> Iterator[tuple[Phase, list[Span], Position]]:
        """Yields the phase and the global batch of each step, and the position after it."""
        position = start or self.start
        while True:
            number = self._phase_of(position.step)
            if position.phase != number:
                before = self.phases[min(position.phase, len(self.phases) - 1)]
                # Phases without steps may come before the first step.
                is_first = position.step == 0
                position = position.in_phase(
                    number,
                    continues_epoch=is_first or self.phases[number].continues_epoch_of(before),
                    keeps_shares=self.phases[number].mixture == before.mixture,
                )
            phase = self.phases[number]
            steps = phase.batches(self.seed, position)
            while self._phase_of(position.step) == number:
                spans, position = next(steps)
                yield phase, spans, position

    def _repeated_steps(self) -> Iterator[tuple[Phase, list[Span], Position]]:
        """Yields the first steps repeatedly, with increasing step numbers."""
        assert self.overfit_steps is not None
        first = list(islice(self._steps(Position()), self.overfit_steps))
        done = self.start.step
        for phase, spans, position in islice(cycle(first), done % self.overfit_steps, None):
            done += 1
            yield phase, spans, replace(position, step=done)

    def _phase_of(self, step: int) -> int:
        return sum(phase.first_step <= step for phase in self.phases[1:])


class EvaluationStream(IterableDataset[EvaluationBatch[Batch]]):
    """One rank's share of all samples. Each sample occurs exactly once over all ranks.

    Args:
        source: The source of the samples.
        batch_size: The maximum number of sequences per batch.
        rank: The rank of this process.
        world_size: The number of processes.
        ranges: The indices of the shards of each source of a mixture; empty without a mixture.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        rank: int,
        world_size: int,
        ranges: Sequence[range] = (),
    ) -> None:
        self.source = source
        self.ranges = ranges
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[EvaluationBatch[Batch]]:
        for span in self._own_spans():
            batch = self.source.build([span], is_training=False)
            of_source = (i for i, shards in enumerate(self.ranges) if span.shard in shards)
            yield EvaluationBatch(batch, next(of_source, None))

    def num_batches(self) -> int:
        """Returns the number of this rank's batches. Plans every shard."""
        return sum(1 for _ in self._own_spans())

    def _own_spans(self) -> Iterator[Span]:
        spans = self.source.evaluation_spans(self.batch_size)
        return islice(spans, self.rank, None, self.world_size)


def _this_worker() -> tuple[int, int]:
    info = get_worker_info()
    return (info.id, info.num_workers) if info else (0, 1)
