"""Trainings of a few steps whose checkpoints are looked at."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from clozekit.runs.checkpoint_file import AtomicCheckpointIO
from clozekit.tasks.regression import RegressionModule
from clozekit.training.checkpoints import Checkpoints
from clozekit.training.preemption import Preemption
from tests.data.spelling import spelling_tokenizer
from tests.tasks.models import small_encoder, training_arguments
from tests.tasks.training import DrawnRows, trainer_of

LOSS: dict[str, Any] = {"monitor": "validation/loss", "mode": "min"}


class Scored(RegressionModule):
    """A task whose validations have losses that are given.

    Args:
        scores: The losses by the steps.
    """

    def __init__(self, scores: dict[int, float]) -> None:
        encoder = small_encoder(spelling_tokenizer().get_vocab_size())
        super().__init__(encoder, **training_arguments())
        self.scores = scores

    def on_validation_epoch_end(self) -> None:
        self.log("validation/loss", torch.tensor(self.scores[self.trainer.global_step]))
        del self.evaluation["validation"]


class RecordingIO(AtomicCheckpointIO):
    """Notes what is saved, as name@step."""

    def __init__(self) -> None:
        self.saved: list[str] = []

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        super().save_checkpoint(checkpoint, path, storage_options)
        self.saved.append(f"{Path(path).stem}@{checkpoint['global_step']}")


@dataclass
class AtStart(Callback):
    """What a run that begins finds, once its checkpoints are put in order.

    Attributes:
        checkpoints: The callback of the run.
        scores: Its scores.
        files: Its files, with their steps.
    """

    checkpoints: Checkpoints
    scores: dict[int, float] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.scores = dict(self.checkpoints.scores)
        self.files = files(self.checkpoints.dirpath)


@dataclass
class Tick(Callback):
    """Does something when a step begins."""

    what: Callable[[Any, Any], None]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.what(pl_module, batch)


class Run:
    """A training with checkpoints.

    Args:
        folder: Theirs.
        validate_every: The steps between validations; None for none.
        tick: What happens when a step begins.
        strategy: Lightning's, for another one than a single device.
        **options: Arguments of `Checkpoints`.
    """

    def __init__(
        self,
        folder: Path,
        validate_every: int | None = None,
        tick: Callable[[Any, Any], None] = lambda module, step: None,
        strategy: Any = "auto",
        **options: Any,
    ) -> None:
        self.folder = folder
        self.validate_every = validate_every
        self.callback = Checkpoints(str(folder), **{**LOSS, **options})
        self.at_start = AtStart(self.callback)
        self.io = RecordingIO()
        self.more = {"strategy": strategy, "plugins": [self.io]}
        self.callbacks = [Tick(tick), self.callback, self.at_start, Preemption()]

    @property
    def saved(self) -> list[str]:
        return self.io.saved

    def train(
        self, max_steps: int, scores: dict[int, float] | None = None, resume: Path | None = None
    ) -> None:
        """Trains up to a step, from a checkpoint if one is given."""
        self.trainer(max_steps).fit(
            Scored(scores or {}),
            datamodule=DrawnRows("regression"),
            ckpt_path=resume,
            weights_only=True,
        )

    def trainer(self, max_steps: int, **options: Any) -> Trainer:
        return trainer_of(
            self.folder,
            max_steps,
            validate_every=self.validate_every,
            callbacks=self.callbacks,
            **self.more,
            **options,
        )


def stop_at(step: int) -> Callable[[Any, Any], None]:
    """Asks a run to end after the step of this index, as a signal does."""

    def tick(module: Any, batch: Any) -> None:
        module.stop_requested = batch.index == step

    return tick


def files(folder: Path) -> dict[str, int]:
    return {
        path.name: torch.load(path, weights_only=True)["global_step"]
        for path in folder.glob("*.ckpt")
    }
