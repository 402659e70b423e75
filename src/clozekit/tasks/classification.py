"""Classification of one text or a pair of texts from [CLS]."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torchmetrics import Metric
from torchmetrics.classification import (
    BinaryF1Score,
    MulticlassAccuracy,
    MulticlassF1Score,
    MultilabelExactMatch,
    MultilabelF1Score,
)

from clozekit.config.encoder import EncoderConfig
from clozekit.config.tasks import BALANCED, weights_in
from clozekit.data.batch import ClassificationBatch
from clozekit.data.labelled.classification import ClassificationDataModule, LabelledText
from clozekit.metrics.correlation import MatthewsCorrelation
from clozekit.metrics.multi_label import MacroF1OfLabels
from clozekit.models import EncoderWithHeads, SequenceClassificationHead, make_encoder
from clozekit.tasks.fine_tuning import FineTuningModule, known_cross_entropy

UNCHECKED: dict[str, Any] = {"validate_args": False}
"""torchmetrics would check the values of every batch, for which the host has to wait for a GPU."""


class ClassificationModule(FineTuningModule[ClassificationBatch]):
    """A linear classifier on the pooled [CLS] vector, trained with the encoder (section 4.1).

    Args:
        encoder: The encoder's configuration.
        label_names: The classes, in the order of their ids.
        multi_label: Whether a text may have several labels. Each label is then predicted
            independently, with a threshold of 0.5.
        classifier_dropout: The dropout of the pooled vector.
        class_weights: The weight of each class in the loss (of each label with `multi_label`).
            Classes that are not named have weight 1. A list has the weights in the order of
            `label_names`. A class whose name is a number may be given by the number, if no other
            has the same. The weights scale the loss, so their mean over the training rows should
            be near 1. In a configuration, `balanced` means the inverse frequencies in the training
            rows, which are computed before training; here it means weights of 1.
        label_smoothing: The share of the target that is spread evenly over all classes.
        **training: The arguments of `TaskModule`.

    Raises:
        ValueError: `class_weights` does not match the classes, or `label_smoothing` is not in
            [0, 1).
    """

    datamodule_class = ClassificationDataModule
    monitor = "validation/accuracy"
    monitor_mode = "max"
    label_names: list[str]
    THRESHOLD: ClassVar[float] = 0.5

    def __init__(
        self,
        encoder: EncoderConfig,
        label_names: list[str],
        multi_label: bool = False,
        classifier_dropout: float = 0.1,
        class_weights: Mapping[Any, float] | Sequence[float] | str | None = None,
        label_smoothing: float = 0.0,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing={label_smoothing} must be in [0, 1)")
        self.label_names = label_names
        self.multi_label = multi_label
        self.label_smoothing = label_smoothing
        self.model = EncoderWithHeads(
            make_encoder(encoder),
            classification_head=SequenceClassificationHead(
                encoder, len(label_names), classifier_dropout
            ),
        )
        # Not a buffer: DDP may broadcast buffers in a forward pass that not all processes run.
        self.class_weights = _weights(class_weights, label_names)

    def forward(self, batch: ClassificationBatch) -> Tensor:
        """Computes logits `[batch, labels]`."""
        logits: Tensor = self.model.classification_head(self.encode(batch).pooled_output)
        return logits

    def loss_sum(self, logits: Tensor, batch: ClassificationBatch) -> Tensor:
        """Sums the cross-entropy over texts; with `multi_label`, its mean over the labels."""
        # Moved once, because a copy from the host waits for the device.
        self.class_weights = self.class_weights.to(logits.device)
        weights = self.class_weights.to(logits)
        if not self.multi_label:
            # Not `weight=weights`: with label smoothing, torch then weights each class of the
            # smoothed target. Here a text's loss has the weight of its own class.
            losses = F.cross_entropy(
                logits, batch.labels, reduction="none", label_smoothing=self.label_smoothing
            )
            return (losses * weights[batch.labels]).sum()
        labels = self._known_labels(batch) * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        losses = F.binary_cross_entropy_with_logits(logits, labels.to(logits), reduction="none")
        return (losses * weights).mean(dim=-1).sum()

    def evaluation_loss(self, logits: Tensor, batch: ClassificationBatch) -> tuple[Tensor, int]:
        """Sums the cross-entropy without weights and smoothing; see `FineTuningModule`."""
        if self.multi_label:
            labels = self._known_labels(batch).to(logits)
            losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
            return losses.mean(dim=-1).sum(), batch.batch_size
        if not self.unknown_labels:
            return F.cross_entropy(logits, batch.labels, reduction="sum"), batch.batch_size
        return known_cross_entropy(logits, batch.labels)

    def num_targets(self, batch: ClassificationBatch) -> int:
        """Returns the number of texts."""
        return batch.batch_size

    def step_sums(self, logits: Tensor, batch: ClassificationBatch) -> dict[str, Tensor]:
        """Counts the texts for which the class, or all labels, are right."""
        if self.multi_label:
            right = (logits > 0) == self._known_labels(batch).bool()
            return {"accuracy": right.all(dim=-1).sum()}
        return {"accuracy": (logits.argmax(dim=-1) == batch.labels).sum()}

    def _known_labels(self, batch: ClassificationBatch) -> Tensor:
        """Returns the marks `[batch, labels]` without those of labels that the model lacks."""
        return batch.labels[:, : len(self.label_names)]

    def new_metrics(self) -> dict[str, Metric]:
        """Makes accuracy, F1 and Matthews' correlation; with `multi_label` exact match and F1."""
        number = len(self.label_names) + len(self.unknown_labels)
        if self.multi_label:
            return {
                "accuracy": MultilabelExactMatch(number, self.THRESHOLD, **UNCHECKED),
                "f1_micro": MultilabelF1Score(number, self.THRESHOLD, average="micro", **UNCHECKED),
                "f1_macro": MacroF1OfLabels(len(self.label_names), number, self.THRESHOLD),
            }
        metrics: dict[str, Metric] = {
            "accuracy": MulticlassAccuracy(number, average="micro", **UNCHECKED),
            "f1_macro": MulticlassF1Score(number, average="macro", **UNCHECKED),
            "matthews_correlation": MatthewsCorrelation(number, **UNCHECKED),
        }
        return metrics | ({"f1": BinaryF1Score(**UNCHECKED)} if len(self.label_names) == 2 else {})

    def update_metrics(
        self, metrics: Mapping[str, Any], logits: Tensor, batch: ClassificationBatch
    ) -> None:
        """Adds a batch's predictions."""
        labels = batch.labels.long()
        predicted = logits.sigmoid() if self.multi_label else logits.argmax(dim=-1)
        if self.multi_label and self.unknown_labels:
            number = len(self.label_names) + len(self.unknown_labels)
            labels = F.pad(labels, (0, number - labels.shape[1]))
            predicted = F.pad(predicted, (0, number - predicted.shape[1]))
        for name, metric in metrics.items():
            if name == "f1":
                metric.update((predicted == 1).long(), (labels == 1).long())
            elif name != "loss":
                metric.update(predicted, labels)

    def decode(self, logits: Tensor, batch: ClassificationBatch) -> list[dict[str, Any]]:
        """Returns each text's class, or labels, and the probabilities of all classes."""
        scores = logits.sigmoid() if self.multi_label else logits.softmax(dim=-1)
        predictions: list[dict[str, Any]] = []
        for row in scores.tolist():
            named = dict(zip(self.label_names, row, strict=True))
            if self.multi_label:
                chosen = [name for name, score in named.items() if score > self.THRESHOLD]
                predictions.append({"labels": chosen, "scores": named})
            else:
                predictions.append({"label": max(named, key=named.__getitem__), "scores": named})
        return predictions

    def gold(self, example: LabelledText) -> Any:
        """Returns the class, or the labels."""
        return list(example.labels) if self.multi_label else example.labels[0]


def _weights(
    given: Mapping[Any, float] | Sequence[float] | str | None, label_names: list[str]
) -> Tensor:
    weights = torch.ones(len(label_names))
    if isinstance(given, str):
        given = weights_in(given) or given
    if isinstance(given, str):
        if given != BALANCED:
            raise ValueError(f"class_weights={given} must be {BALANCED} or weights")
        return weights
    if given is not None and not isinstance(given, Mapping):
        if len(given) != len(label_names):
            raise ValueError(
                f"class_weights has {len(given)} weights, but there are {len(label_names)} "
                f"classes: {', '.join(label_names)}"
            )
        given = dict(zip(label_names, given, strict=True))
    for name, weight in (given or {}).items():
        place = _place(name, label_names)
        if place is None:
            raise ValueError(
                f"class_weights has {name!r}, but the classes are {', '.join(label_names)}"
            )
        if not weight >= 0:
            raise ValueError(f"class_weights.{name}={weight} must not be negative")
        weights[place] = weight
    if not weights.any():
        raise ValueError("class_weights must have at least one weight greater than 0")
    return weights


def _place(key: object, label_names: list[str]) -> int | None:
    """Returns the id of a class.

    A configuration may have `1e3` or `True` as a value, which is then 1000 or true; so a class that
    is the only one of the same value is meant too.

    Raises:
        ValueError: The key is a value, which several classes have.
    """
    if isinstance(key, str) and key in label_names:
        return label_names.index(key)
    value = _value(str(key))
    alike = [i for i, label in enumerate(label_names) if value and value == _value(label)]
    if len(alike) > 1 and not isinstance(key, str):
        names = [label_names[i] for i in alike]
        raise ValueError(
            f"class_weights has {key}, which may be any of the classes {', '.join(names)}; write "
            f'the name of one in quotation marks, such as "{names[0]}"'
        )
    return alike[0] if len(alike) == 1 else None


def _value(name: str) -> tuple[str, float] | None:
    if name.lower() in ("true", "false"):
        return "boolean", name.lower() == "true"
    try:
        return "number", float(name)
    except ValueError:
        return None
