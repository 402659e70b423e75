"""What a computation keeps for its backward."""

from collections.abc import Callable

import torch
from torch import Tensor


def saved_tensors(run: Callable[[], object]) -> list[Tensor]:
    """Runs forward and gives what it kept, in order."""
    saved: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        run()
    return saved
