"""A user's own callback that writes down which stages Lightning goes through, and on what."""

import json
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class Observer(Callback):
    """Writes events to a file, one JSON line each.

    Args:
        file: The file.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(
            "train starts",
            step=trainer.global_step,
            anomaly=torch.is_anomaly_enabled(),
            benchmark=torch.backends.cudnn.benchmark,
            checkpoint_io=type(trainer.strategy.checkpoint_io).__name__,
            deterministic=torch.are_deterministic_algorithms_enabled(),
            log_dir=trainer.log_dir,
            callbacks=[type(callback).__name__ for callback in trainer.callbacks],  # type: ignore[attr-defined]
            layers=sorted({type(layer).__name__ for layer in pl_module.modules()}),
        )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write("epoch starts", step=trainer.global_step, loader=id(trainer.train_dataloader))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._write(
            "step",
            step=trainer.global_step,
            samples=[micro.sample_ids.tolist() for micro in batch.micro_batches],
            ids=[micro.input_ids.tolist() for micro in batch.micro_batches],
            metrics={k: float(v) for k, v in trainer.callback_metrics.items()},
            bar=sorted(trainer.progress_bar_metrics),
        )

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        kind = "sanity batch" if trainer.sanity_checking else "validation batch"
        self._write(kind, step=trainer.global_step)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        inference = torch.is_inference_mode_enabled()
        self._write("test batch", step=trainer.global_step, inference=inference)

    def _write(self, kind: str, **values: Any) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, **values}) + "\n")


def events(file: Path, kind: str) -> list[dict[str, Any]]:
    """Reads the events of a kind."""
    every = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [event for event in every if event["kind"] == kind]
