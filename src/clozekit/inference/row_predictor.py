"""Predictions of a fine-tuned model; the windows of a row are merged."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from clozekit.data.batch import Batch
from clozekit.data.files.rows import Rows
from clozekit.data.labelled.features import Features
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.step import EvaluationBatch
from clozekit.inference.precision import InferencePrecision
from clozekit.tasks.fine_tuning import FineTuningModule

TOKENS_ON_CPU = 1024
"""Maximum number of tokens in a forward pass on the CPU: enough for efficient matrix products, and
small enough for the caches."""

Prediction = dict[str, Any]
"""The prediction for one row, as plain values."""


class Predictor(Protocol):
    """Reads rows and predicts them."""

    @property
    def model(self) -> torch.nn.Module:
        """The torch module."""
        ...

    def read_rows(self, path: str) -> Rows:
        """Reads the rows of a file; raises `DataError` if it cannot be read."""
        ...

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        """Makes a row from a text or a pair; raises `RowError` if the task needs other columns."""
        ...

    def read(self, row: Mapping[str, Any], number: int) -> Any:
        """Reads a row; raises `RowError` if it is invalid."""
        ...

    def predict(self, examples: Sequence[Any]) -> list[Prediction]:
        """Predicts examples that `read` returned, in their order."""
        ...


class RowPredictor:
    """Predicts with a fine-tuned model.

    Args:
        module: The module of the task.
        features: Reads and encodes the rows.
        batch_size: Maximum number of sequences in one forward pass.
        precision: The precision of the forward pass; None for that of the weights.
    """

    def __init__(
        self,
        module: FineTuningModule[Any],
        features: Features[Any],
        batch_size: int = 32,
        precision: InferencePrecision | None = None,
    ) -> None:
        self.module = module
        self.features = features
        self.batch_size = batch_size
        self.precision = precision or InferencePrecision("32-true", module.device)

    @property
    def model(self) -> torch.nn.Module:
        """The torch module."""
        return self.module.model

    def read_rows(self, path: str) -> Rows:
        """Reads the rows of a file."""
        rows = self.features.read_rows(path)
        self.features.check_id_column(rows)
        return rows

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        """Makes a row from a text or a pair."""
        return self.features.row_of(text, text_pair)

    def read(self, row: Mapping[str, Any], number: int) -> Any:
        """Reads a row. Number 0 is the first of new rows."""
        if number == 0:
            self.features.begin()
        return self.features.example(row, number, is_labelled=False)

    def predict(self, examples: Sequence[Any]) -> list[Prediction]:
        """Predicts rows, in batches of similar length."""
        rows = self.features.encode(examples, is_labelled=False)
        predictions: list[Prediction] = [{}] * len(examples)
        for place, prediction in self.predictions(LabelledSource(rows, is_training=False)):
            predictions[place] = prediction
        return predictions

    @torch.inference_mode()
    def predictions(
        self,
        source: LabelledSource,
        update: Callable[[Any, Any], Tensor] | None = None,
    ) -> Iterator[tuple[int, Prediction]]:
        """Yields the index and the prediction of every row of a source, longest rows first.

        Args:
            source: The rows.
            update: Called with module and batch instead of `module(batch)`; returns the logits.
        """
        max_tokens = TOKENS_ON_CPU if self.module.device.type == "cpu" else None
        for span in source.evaluation_spans(self.batch_size, max_tokens):
            batch = self._moved(source.build([span], is_training=False))
            with self.precision.context(self.module.device):
                logits = self.module(batch) if update is None else update(self.module, batch)
            places = np.unique(batch.sample_ids[:, 2].cpu().numpy()).tolist()
            yield from zip(places, self.module.decode(logits.float(), batch), strict=True)

    def _moved(self, batch: Batch) -> Any:
        """Moves a batch to the device, to a GPU in one copy."""
        loaded = EvaluationBatch(batch)
        if self.module.device.type == "cuda":
            loaded = loaded.pin_memory()
        return loaded.to(self.module.device).batch


def single_labels(
    golds: Sequence[Any], predictions: Sequence[Prediction]
) -> tuple[list[str], list[str]]:
    """Returns gold and predicted classes of all examples, or of all words with a tag."""
    if predictions and "tags" in predictions[0]:
        pairs = [
            pair
            for gold, prediction in zip(golds, predictions, strict=True)
            for pair in zip(gold, prediction["tags"], strict=True)
            if pair[0] is not None
        ]
        return [gold for gold, _ in pairs], [predicted for _, predicted in pairs]
    return list(golds), [prediction["label"] for prediction in predictions]
