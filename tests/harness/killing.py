"""Callbacks that record what a run computes and that kill it at a given moment."""

import io
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray

from clozekit.data.pretraining.masking import mask_tokens

IN_A_STEP = ("batch begins", "before backward", "after backward", "batch ends")
IN_A_VALIDATION = ("validation batch", "validation ends")
IN_A_SAVE = ("file half written", "file not renamed", "file renamed")
BETWEEN_EPOCHS = "between epochs"
ANY_TIME = "any time"


@dataclass(frozen=True)
class Moment:
    """The moment when a process kills itself or is killed.

    Attributes:
        kind: One of the constants above.
        step: The number of steps done; for moments in a step, the index of the step.
        micro_step: The index of the micro-batch in the step.
        rank: The rank of the process.
        seconds: The time after which the parent kills the run, for `ANY_TIME`.
    """

    kind: str
    step: int = 0
    micro_step: int = 0
    rank: int = 0
    seconds: float = 0.0

    def overrides(self) -> list[str]:
        """Returns the overrides that add the `Killer` to a configuration."""
        if self.kind == ANY_TIME:
            return []
        target = f"{Killer.__module__}.{Killer.__name__}"
        kind = "batch begins" if self.kind == BETWEEN_EPOCHS else self.kind
        return [
            f"+callbacks.killer._target_={target}",
            f"+callbacks.killer.kind='{kind}'",
            f"+callbacks.killer.step={self.step}",
            f"+callbacks.killer.micro_step={self.micro_step}",
            f"+callbacks.killer.rank={self.rank}",
        ]

    def __str__(self) -> str:
        if self.kind == ANY_TIME:
            return f"{self.kind} ({self.seconds:.2f} s)"
        return f"{self.kind} {self.step}.{self.micro_step} rank {self.rank}"


class Recorder(Callback):
    """Appends the samples and the loss of each micro-batch to one file per rank.

    Args:
        folder: The folder of the files.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._step: Any = None
        self._micro_step = 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._step, self._micro_step = batch, 0

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: torch.Tensor
    ) -> None:
        # Not at the end of the batch, where a checkpoint of the step may already be saved.
        record = {
            "step": self._step.index,
            "micro_step": self._micro_step,
            "loss": float(loss.detach()).hex(),
            "samples": self._step.micro_batches[self._micro_step].sample_ids.tolist(),
        }
        self._micro_step += 1
        with (self.folder / f"records-{trainer.global_rank}.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")


class Killer(Callback):
    """Kills its own process with SIGKILL at a moment; see `Moment` for the arguments."""

    def __init__(self, kind: str, step: int, micro_step: int, rank: int) -> None:
        self.moment = Moment(kind, step, micro_step, rank)
        self._step: Any = None
        self._micro_step = 0
        if kind in IN_A_SAVE:
            self._break_into_saves()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._step, self._micro_step = batch, 0
        self._kill_in_step("batch begins", trainer)

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: torch.Tensor
    ) -> None:
        self._kill_in_step("before backward", trainer)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._kill_in_step("after backward", trainer)
        is_last = self._micro_step == len(self._step.micro_batches) - 1
        if not is_last:
            self._kill_in_step("batch ends", trainer)
            self._micro_step += 1
            self._kill_in_step("batch begins", trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._kill_in_step("batch ends", trainer)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        if not trainer.sanity_checking:
            self._kill_in_validation("validation batch", trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._kill_in_validation("validation ends", trainer)

    def _kill_in_step(self, kind: str, trainer: Trainer) -> None:
        moment = self.moment
        here = (kind, self._step.index, self._micro_step, trainer.global_rank)
        if here == (moment.kind, moment.step, moment.micro_step, moment.rank):
            kill_self()

    def _kill_in_validation(self, kind: str, trainer: Trainer) -> None:
        moment = self.moment
        if (kind, trainer.global_step, trainer.global_rank) == (
            moment.kind,
            moment.step,
            moment.rank,
        ):
            kill_self()

    def _break_into_saves(self) -> None:
        """Kills in the middle of writing a file, before it is renamed, or after.

        `micro_step` is the index of the checkpoint among those of the step: the best, then the
        last.
        """
        moment, real_save, real_replace = self.moment, torch.save, os.replace
        saved: list[int] = []

        def is_due() -> bool:
            return saved.count(moment.step) == moment.micro_step + 1

        def save(checkpoint: Any, file: Any, **options: Any) -> None:
            saved.append(checkpoint["global_step"])
            if moment.kind == "file half written" and is_due():
                content = io.BytesIO()
                real_save(checkpoint, content, **options)
                file.write(content.getvalue()[: content.tell() // 2])
                file.flush()
                kill_self()
            real_save(checkpoint, file, **options)

        def replace(source: Any, target: Any) -> None:
            is_checkpoint = str(target).endswith(".ckpt") and is_due()
            if is_checkpoint and moment.kind == "file not renamed":
                kill_self()
            real_replace(source, target)
            if is_checkpoint and moment.kind == "file renamed":
                kill_self()

        torch.save, os.replace = save, replace  # type: ignore[assignment]


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def draw_masks_from_a_global_generator() -> None:
    """Breaks masking: the keys come from NumPy's global generator, as in a simple collator."""

    def mask(ids: Any, lengths: Any, keys: NDArray[np.uint64], *more: Any) -> Any:
        drawn = np.random.randint(0, 2**63, size=len(keys), dtype=np.uint64)
        return mask_tokens(ids, lengths, drawn, *more)

    mock.patch("clozekit.data.pretraining.pair_source.mask_tokens", mask).start()


BREAKS = {"masks": draw_masks_from_a_global_generator}


def read_records(folder: Path) -> Iterator[tuple[tuple[int, int, int], dict[str, Any]]]:
    """Yields ((rank, step, micro-step), record) of all ranks; skips lines cut off by a kill."""
    for path in sorted(folder.glob("records-*.jsonl")):
        rank = int(path.stem.partition("-")[2])
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("}\n"):
                record = json.loads(line)
                yield (rank, record["step"], record["micro_step"]), record
