"""A user's own callback that raises at a hook, and one that cuts a file while it is read."""

import os
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class Failing(Callback):
    """Raises when the given number of steps is done.

    Args:
        hook: The hook that raises.
        steps: The number of steps.
    """

    def __init__(self, hook: str, steps: int) -> None:
        self.steps = steps
        setattr(self, hook, self._fail)

    def _fail(self, trainer: Trainer, *arguments: Any, **options: Any) -> None:
        if trainer.global_step == self.steps and not trainer.sanity_checking:
            raise ValueError("a mistake in a callback")


class Cutting(Callback):
    """Cuts a file to half its size at the beginning of a step.

    Args:
        path: The file.
        step: The index of the step.
    """

    def __init__(self, path: str, step: int) -> None:
        self.path = path
        self.step = step

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch.index == self.step:
            os.truncate(self.path, os.path.getsize(self.path) // 2)  # noqa: PTH202
