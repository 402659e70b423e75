"""Copies of all tensors of a batch to a device in one piece, next to the computation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Self

import torch
from torch import Tensor

ALIGNMENT = 64
"""Bytes. Every tensor in a buffer starts at a multiple, as vectorized kernels need."""

BLOCKING = ("cpu", "mps")
"""Devices that need a blocking copy: the host would read the tensors too early, and MPS does not
keep the order."""


@dataclass(frozen=True)
class Place:
    """The place of a tensor in a buffer.

    Attributes:
        start: Its first byte.
        dtype: Its dtype.
        shape: Its shape.
    """

    start: int
    dtype: torch.dtype
    shape: torch.Size

    @property
    def end(self) -> int:
        """The byte after its last one."""
        return self.start + prod(self.shape) * self.dtype.itemsize

    def of(self, buffer: Tensor) -> Tensor:
        """Returns the tensor, a view into the buffer."""
        return buffer[self.start : self.end].view(self.dtype).view(self.shape)


@dataclass(frozen=True)
class TransferLayout:
    """The places of several tensors in one buffer.

    Attributes:
        places: The place of each tensor.
        num_bytes: The size of the buffer.
    """

    places: tuple[Place, ...]
    num_bytes: int

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> Self:
        """Places tensors one after the other."""
        places, end = [], 0
        for tensor in tensors:
            start = -(-end // ALIGNMENT) * ALIGNMENT
            places.append(Place(start, tensor.dtype, tensor.shape))
            end = places[-1].end
        return cls(tuple(places), end)

    def views(self, buffer: Tensor) -> list[Tensor]:
        """Returns the tensors in a buffer, `[num_bytes]`, uint8; nothing is copied."""
        return [place.of(buffer) for place in self.places]


def gathered(tensors: Sequence[Tensor], layout: TransferLayout, pin: bool) -> Tensor:
    """Copies tensors to a new buffer on the host.

    Args:
        tensors: The tensors.
        layout: Their places.
        pin: Whether to pin the buffer; only copies from pinned memory are asynchronous.

    Returns:
        `[num_bytes]`, uint8.
    """
    buffer = torch.empty(layout.num_bytes, dtype=torch.uint8, pin_memory=pin)
    for view, tensor in zip(layout.views(buffer), tensors, strict=True):
        view.copy_(tensor)
    return buffer


class DeviceCopy:
    """A copy of a buffer to a device, which may still be running.

    On a GPU it runs on a stream of its own, so it does not wait for the computation.

    Args:
        buffer: The buffer.
        device: The device.
    """

    def __init__(self, buffer: Tensor, device: torch.device) -> None:
        self.device = device
        if device.type != "cuda":
            self._copy = buffer.to(device, non_blocking=device.type not in BLOCKING)
            return
        stream = _copy_stream(device)
        with torch.cuda.stream(stream):
            self._copy = buffer.to(device, non_blocking=True)
            self._done = stream.record_event()

    def wait(self) -> Tensor:
        """Returns the copy. The computation waits for it, and the host does not."""
        if self.device.type == "cuda":
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(self._done)
            # Keeps the allocator from reusing this memory while the computation reads it.
            self._copy.record_stream(stream)
        return self._copy


@cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return stream
