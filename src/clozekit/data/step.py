"""The items of loaders: the batches of one optimizer step, or one evaluation batch."""

from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor

from clozekit.data.batch import Batch
from clozekit.data.order import Position
from clozekit.data.transfer import BLOCKING, DeviceCopy, TransferLayout, gathered

BatchT = TypeVar("BatchT", bound=Batch)


@dataclass(frozen=True)
class StepTotals:
    """The totals of a step's global batch, over all processes and micro-batches.

    Attributes:
        num_sequences: The number of sequences.
        num_tokens: The number of tokens, without padding.
        num_targets: The number of targets that the task's loss is averaged over.
    """

    num_sequences: int
    num_tokens: int
    num_targets: int


class LoadedBatches(Generic[BatchT]):
    """Batches that Lightning moves to a device together.

    Not a dataclass: if the precision is not float32, Lightning converts the tensors in a dataclass
    and raises an error for a frozen one. Ids must not change, and scores must not lose precision.

    Args:
        micro_batches: The batches.
    """

    def __init__(self, micro_batches: tuple[BatchT, ...]) -> None:
        self.micro_batches = micro_batches
        self._layout: TransferLayout | None = None
        self._buffer: Tensor | None = None
        self._copy: DeviceCopy | None = None

    def to(self, device: torch.device | str) -> Self:
        """Moves the batches to a device, in one copy if they are in one buffer.

        The host does not wait for the copy to complete, unless it is to the host.
        """
        device = torch.device(device)
        if self._layout is None or self._buffer is None:
            is_blocking = device.type in BLOCKING
            return self._with(
                tuple(b.to(device, non_blocking=not is_blocking) for b in self.micro_batches)
            )
        copy = self._copy
        if copy is None or copy.device != device:
            copy = DeviceCopy(self._buffer, device)
        return self._in_buffer(self._layout, copy.wait())

    def start_copy(self, device: torch.device) -> None:
        """Starts to copy pinned batches to a device; `to` waits for the copy."""
        if self._buffer is not None:
            self._copy = DeviceCopy(self._buffer, device)

    def pin_memory(self) -> Self:
        """Copies the batches to one pinned buffer."""
        return self.in_one_buffer(pin=True)

    def in_one_buffer(self, pin: bool = False) -> Self:
        """Copies the tensors that a device needs to one buffer on the host.

        Args:
            pin: Whether the buffer is pinned.
        """
        tensors = self._moving()
        layout = TransferLayout.of(tensors)
        return self._in_buffer(layout, gathered(tensors, layout, pin))

    def __getstate__(self) -> dict[str, Any]:
        """Returns the state with all tensors in one.

        A data worker passes a tensor on with file descriptors, of which a process has few: one
        tensor for each part of many micro-batches would be too many.
        """
        tensors: list[Tensor] = []
        placeholder = torch.empty(0)

        def collect(tensor: Tensor) -> Tensor:
            tensors.append(tensor)
            return placeholder

        shells = tuple(batch.map_tensors(collect) for batch in self.micro_batches)
        layout = TransferLayout.of(tensors)
        state = {**self.__dict__, "micro_batches": shells, "_layout": None, "_buffer": None}
        return {**state, "_copy": None, "packed": (layout, gathered(tensors, layout, pin=False))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores the tensors."""
        layout, buffer = state.pop("packed")
        views = iter(layout.views(buffer))
        batches = tuple(b.map_tensors(lambda _: next(views)) for b in state["micro_batches"])
        self.__dict__.update(state, micro_batches=batches)

    def _moving(self) -> list[Tensor]:
        tensors: list[Tensor] = []

        def collect(tensor: Tensor) -> Tensor:
            tensors.append(tensor)
            return tensor

        for batch in self.micro_batches:
            batch.map_moving(collect)
        return tensors

    def _in_buffer(self, layout: TransferLayout, buffer: Tensor) -> Self:
        views = iter(layout.views(buffer))
        moved = self._with(
            tuple(batch.map_moving(lambda _: next(views)) for batch in self.micro_batches)
        )
        moved._layout, moved._buffer = layout, buffer
        return moved

    def _with(self, micro_batches: tuple[BatchT, ...]) -> Self:
        changed = object.__new__(type(self))
        changed.__dict__.update(self.__dict__, micro_batches=micro_batches, _copy=None)
        return changed


class StepBatch(LoadedBatches[BatchT]):
    """One optimizer step: the micro-batches of this process and the totals over all processes.

    Args:
        index: The index of the step, from 0.
        totals: The totals of the global batch.
        next_position: The position in the stream after the step.
        micro_batches: This process's share of the global batch, in the order of the forward passes.
        phase: The index of the phase of the step; None if training has a single phase.
    """

    def __init__(
        self,
        index: int,
        totals: StepTotals,
        next_position: Position,
        micro_batches: tuple[BatchT, ...],
        phase: int | None = None,
    ) -> None:
        super().__init__(micro_batches)
        self.phase = phase
        self.index = index
        self.totals = totals
        self.next_position = next_position

    @property
    def num_sequences(self) -> int:
        """The number of sequences in the global batch."""
        return self.totals.num_sequences

    @property
    def num_tokens(self) -> int:
        """The number of tokens in the global batch, without padding."""
        return self.totals.num_tokens

    @property
    def num_targets(self) -> int:
        """The number of targets in the global batch that the task's loss is averaged over."""
        return self.totals.num_targets


class EvaluationBatch(LoadedBatches[BatchT]):
    """One batch of an evaluation.

    Args:
        batch: The batch.
        source: The index of the source of a mixture that all its samples are from; None without a
            mixture.
    """

    def __init__(self, batch: BatchT, source: int | None = None) -> None:
        super().__init__((batch,))
        self.source = source

    @property
    def batch(self) -> BatchT:
        """The batch."""
        return self.micro_batches[0]
