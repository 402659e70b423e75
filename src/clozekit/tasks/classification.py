"""Classification of one text or a pair from [CLS]."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassMatthewsCorrCoef,
)

from clozekit.config.encoder import EncoderConfig
from clozekit.data.batch import ClassificationBatch, Step
from clozekit.models.classification import ClassificationModel
from clozekit.tasks.base import TaskModule, step_of, upcast


class ClassificationModule(TaskModule[ClassificationBatch]):
    """A linear classifier on the pooled [CLS] vector, trained with the encoder (section 4.1).

    Args:
        encoder: The encoder's configuration.
        label_names: The classes, in the order of their ids.
        classifier_dropout: The dropout of the pooled vector.
        **training: The arguments of `TaskModule`.
    """

    def __init__(
        self,
        encoder: EncoderConfig,
        label_names: list[str],
        classifier_dropout: float = 0.1,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self.label_names = label_names
        num_classes = len(label_names)
        self.model = ClassificationModel(encoder, num_classes, classifier_dropout)
        metrics = MetricCollection(
            {
                "loss": MeanMetric(),
                "accuracy": MulticlassAccuracy(num_classes, average="micro"),
                "f1_macro": MulticlassF1Score(num_classes, average="macro"),
                "matthews_correlation": MulticlassMatthewsCorrCoef(num_classes),
            },
            compute_groups=False,
        )
        self.validation_metrics = metrics.clone(prefix="validation/")
        self.test_metrics = metrics.clone(prefix="test/")

    def forward(self, batch: ClassificationBatch) -> Tensor:
        """Computes logits `[batch, labels]`."""
        logits: Tensor = self.model(batch.input_ids, batch.token_type_ids, batch.packing)
        return logits

    def training_step(self, batch: ClassificationBatch, batch_idx: int) -> Tensor:
        """Computes a micro-batch's share of the global step's loss."""
        step = step_of(batch)
        logits = self(batch)
        loss_sum = F.cross_entropy(upcast(logits), batch.labels, reduction="sum")
        loss = self.as_global_mean(loss_sum, step.num_targets)
        self.guard.watch(loss, batch)
        if self.is_logged(step):
            correct = (logits.detach().argmax(dim=-1) == batch.labels).sum()
            self.add_to_step(loss=loss_sum, accuracy=correct)
        return loss

    def step_metrics(self, step: Step, sums: dict[str, float]) -> dict[str, float]:
        """Gives loss and accuracy of a global step."""
        return {name: total / step.num_targets for name, total in sums.items()}

    def validation_step(self, batch: ClassificationBatch, batch_idx: int) -> None:
        """Gathers the validation split's metrics."""
        self._evaluate(batch, self.validation_metrics)

    def test_step(self, batch: ClassificationBatch, batch_idx: int) -> None:
        """Gathers the test split's metrics."""
        self._evaluate(batch, self.test_metrics)

    def on_validation_epoch_end(self) -> None:
        """Logs the validation metrics."""
        self._report(self.validation_metrics)

    def on_test_epoch_end(self) -> None:
        """Logs the test metrics."""
        self._report(self.test_metrics)

    def _evaluate(self, batch: ClassificationBatch, metrics: MetricCollection) -> None:
        logits = upcast(self(batch))
        metrics["loss"].update(F.cross_entropy(logits, batch.labels), batch.batch_size)
        for name in ("accuracy", "f1_macro", "matthews_correlation"):
            metrics[name].update(logits, batch.labels)

    def _report(self, metrics: MetricCollection) -> None:
        self.log_evaluation(metrics.compute())
        metrics.reset()
